import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { appendFile, readdir } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { expectOk } from './support/holdfast.ts'
import { processesIn } from './support/live-processes.ts'
import { everydayMajors } from './support/everyday.ts'
import { createScratch } from './support/scratch.ts'
import { identityOf, type ServerUser } from './support/server-user.ts'
import { startHoldfast } from './support/start-holdfast.ts'
import { startUserSite, type UserSite } from './support/user-site.ts'
import { waitUntil } from './support/wait.ts'

const runQuery = join(import.meta.dirname, 'support/run-query.ts')

for (const major of everydayMajors) {
  describe(`at, of a PostgreSQL ${major} cluster that reaches out,`, () => {
    test('runs a command with the data of the moment, reaches nobody, and leaves nothing (R63, M17)', async () => {
      await using scratch = await createScratch('at')
      await using site = await startUserSite({ major, scratch, settings: { wal_level: 'logical' } })
      await using lure = await startLure()
      const moment = await prepare(site, lure.port)
      await site.server.stop()
      const heard = lure.heard()
      const options = [...moment, '--sandbox-directory', join(site.folder, 'sandboxes')]

      const found = await site.run('at', ...options, '--', ...asking('select t from said'))
      const libraries = await site.run('at', ...options, '--', ...asking('show shared_preload_libraries'))
      const written = await site.run('at', ...options, '--', ...asking('delete from said'))
      const failing = await site.run('at', ...options, '--', 'sh', '-c', 'sleep 6; exit 37')

      assert.equal(expectOk(found).stdout, 'before\n')
      assert.equal(expectOk(libraries).stdout, '\n')
      assert.match(written.stderr, /read-only transaction/)
      assert.notEqual(written.code, 0)
      assert.equal(failing.code, 37, failing.stderr)
      assert.equal(lure.heard(), heard, 'somebody was called')
      assert.equal(existsSync(markOf(site)), false, 'a command of the source has run')
      assert.deepEqual(await readdir(join(site.folder, 'sandboxes')), [])
    })
  })
}

describe('at', () => {
  test('keeps the server until it is stopped, and removes what a killed one has left', async () => {
    await using scratch = await createScratch('kept')
    await using site = await startUserSite({ major: 17, scratch })
    await site.server.query('create table said as select $$hello$$ as t')
    await site.backup()
    await site.switchWal()
    const sandboxes = join(site.folder, 'sandboxes')
    const options = ['--sandbox-directory', sandboxes, '--keep', '1h']

    const killed = startHoldfast(['at', ...options], { config: site.configuration })
    await waitUntil('the first answer', () => killed.stdout().includes('read-only'))
    killed.kill('SIGKILL')
    await killed.ended
    const left = await readdir(sandboxes)
    assert.ok(processesIn(sandboxes).length > 0, 'its server was to go on')
    const second = startHoldfast(['at', ...options], { config: site.configuration })
    await waitUntil('the second answer', () => second.stdout().includes('read-only'))
    const now = await readdir(sandboxes)
    second.kill('SIGTERM')
    const ended = await second.ended

    assert.equal(left.length, 1)
    assert.equal(now.length, 1)
    assert.notDeepEqual(now, left)
    assert.equal(ended.code, 0, ended.stderr)
    assert.deepEqual(await readdir(sandboxes), [])
    assert.deepEqual(processesIn(sandboxes), [])
  })

  test('reaches nobody over the network, whatever is asked of it, where the kernel allows that', async () => {
    await using scratch = await createScratch('cut')
    await using site = await startUserSite({ major: 17, scratch })
    await using lure = await startLure()
    await site.backup()
    await site.switchWal()
    const call = `bash -c "cat > /dev/null; exec 3<>/dev/tcp/127.0.0.1/${lure.port}"`
    const calling = `copy (select 1) to program $$${call}$$`

    await site.server.query(calling)
    await waitUntil('the call of the source', () => lure.heard() === 1)
    const options = ['--sandbox-directory', join(site.folder, 'sandboxes')]
    const called = await site.run('at', ...options, '--', ...asking(calling))
    // The end of a program that has called may be told before the call is taken.
    await site.server.query(calling)
    await waitUntil('the second call of the source', () => lure.heard() >= 2)

    const isCut = canCutNetwork(scratch.user)
    assert.equal(lure.heard(), isCut ? 2 : 3, called.stderr)
    assert.equal(called.code === 0, !isCut, called.stderr)
    if (isCut) assert.match(called.stderr, /program .* failed/)
  })

  test('refuses a moment that cannot be reached, and leaves nothing', async () => {
    await using scratch = await createScratch('unreachable')
    await using site = await startUserSite({ major: 18, scratch })
    await site.backup()
    const sandboxes = join(site.folder, 'sandboxes')

    const early = await site.run(
      'at',
      '--sandbox-directory',
      sandboxes,
      '--target-time',
      '2001-01-01T00:00:00Z',
    )

    assert.equal(early.code, 3, early.stderr)
    assert.deepEqual(await readdir(sandboxes), [])
  })
})

const asking = (sql: string): readonly string[] => [process.execPath, runQuery, sql]

/** Found out without what is tested: with the server's user, as the tool runs. */
function canCutNetwork(user: ServerUser): boolean {
  const way = ['--user', '--map-current-user', '--net', 'true']
  return spawnSync('/usr/bin/unshare', way, identityOf(user)).status === 0
}

const markOf = ({ folder }: UserSite): string => join(folder, 'mark')

/** Everything in the source that would act on others, or keep us out, if a copy of it did what it says. Gives the moment. */
async function prepare(site: UserSite, port: number): Promise<readonly string[]> {
  const { server } = site
  await server.query('create table said (t text)')
  await server.query(
    `create subscription calling connection 'host=127.0.0.1 port=${port} dbname=x user=x' publication p with (connect = false)`,
  )
  await server.query('alter subscription calling enable')
  if (server.major >= 17) {
    await server.query(`create function greet() returns event_trigger language plpgsql as $$
      begin
        if current_setting('unix_socket_directories') like '%holdfast-%' then raise 'nobody comes in'; end if;
      end $$`)
    await server.query('create event trigger greeting on login execute function greet()')
    await server.query('alter event trigger greeting enable always')
  }
  await appendFile(
    join(server.dataDirectory, 'postgresql.conf'),
    [
      "shared_preload_libraries = 'no_such_library'",
      "session_preload_libraries = 'no_such_library'",
      `primary_conninfo = 'host=127.0.0.1 port=${port}'`,
      `recovery_end_command = 'touch "${markOf(site)}"'`,
      `archive_cleanup_command = 'touch "${markOf(site)}"'`,
      `archive_command = 'touch "${markOf(site)}"'`,
      "listen_addresses = '*'\n",
    ].join('\n'),
  )
  await site.backup()
  await server.query("insert into said values ('before')")
  const [row] = await server.query<{ lsn: string }>('select pg_current_wal_insert_lsn()::text as lsn')
  await server.query("insert into said values ('after')")
  await site.switchWal()
  return ['--target-lsn', row?.lsn ?? '', '--target-exclusive']
}

/** A listener that counts who calls. */
async function startLure(): Promise<AsyncDisposable & { readonly port: number; heard(): number }> {
  let heard = 0
  const listener = createServer((socket) => {
    heard += 1
    socket.destroy()
  })
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const address = listener.address()
  assert.ok(address !== null && typeof address === 'object')
  return {
    port: address.port,
    heard: () => heard,
    async [Symbol.asyncDispose]() {
      listener.close()
      await once(listener, 'close')
    },
  }
}
