import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { appendFile, readdir } from 'node:fs/promises'
import { createServer } from 'node:net'
import { basename, join } from 'node:path'
import { describe, test } from 'node:test'
import { Client } from 'pg'
import type { AtDocument } from '../src/api/at-document.ts'
import { expectOk, type HoldfastResult } from './support/holdfast.ts'
import { processesIn } from './support/live-processes.ts'
import { everydayMajors } from './support/everyday.ts'
import type { TestServer } from './support/postgres-server.ts'
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

for (const major of everydayMajors) {
  describe(`at --advance, on PostgreSQL ${major},`, () => {
    test('takes a paused sandbox on to later moments with the same connection, and never back', async () => {
      await using scratch = await createScratch('advance')
      await using site = await startUserSite({ major, scratch })
      const { server } = site
      await server.query('create table said (t text)')
      await site.backup()
      const [one, two] = await sayThreeWords(server)
      await server.query('insert into said values ($1)', ['four'])
      await site.switchWal()
      const sandboxes = join(site.folder, 'sandboxes')
      const advance = (...target: readonly string[]): Promise<HoldfastResult> => {
        const place = ['--advance', basename(begun.sandbox), '--sandbox-directory', sandboxes]
        return site.run('--output', 'json', 'at', ...place, ...target)
      }

      const kept = startHoldfast(
        ['--output', 'json', 'at', '--paused', '--sandbox-directory', sandboxes, ...before(one.lsn)],
        { config: site.configuration },
      )
      const begun = await waitUntil('the sandbox', () => documentIn(kept.stdout()))
      const first = await said(begun)
      const second = documentIn(expectOk(await advance('--target-time', two.time)).stdout) ?? assert.fail()
      const found = await said(begun)
      const back = await advance(...before(one.lsn))
      const backInTime = await advance('--target-time', one.time)
      const toBackup = await advance('--target-immediate')
      const beyond = await advance('--target-lsn', 'F/0')
      const stayed = await said(begun)
      const third = documentIn(expectOk(await advance()).stdout) ?? assert.fail()
      const last = await said(begun)
      kept.kill('SIGTERM')
      const ended = await kept.ended
      const late = await advance()

      assert.deepEqual(
        [first, found, stayed, last].map((words) => words.length),
        [1, 2, 2, 4],
      )
      assert.deepEqual(last, ['one', 'two', 'three', 'four'])
      assert.equal(second.connection, begun.connection)
      assert.equal(second.isPaused, true)
      assert.ok(second.recoveryMs > 0 && second.filesMs === 0)
      assert.ok((third.lastCommitAt ?? '') > (second.lastCommitAt ?? ''))
      for (const refused of [back, backInTime, toBackup, beyond])
        assert.equal(refused.code, 3, refused.stderr + refused.stdout)
      assert.match(back.stderr, /the recovery is past it/)
      assert.equal(ended.code, 0, ended.stderr)
      assert.equal(late.code, 6, late.stderr)
      assert.deepEqual(await readdir(sandboxes), [])
      await waitUntil('the end of all processes', () => processesIn(sandboxes).length === 0)
    })
  })
}

describe('at --advance', () => {
  test('either comes in time or finds nothing, and leaves nothing either way', async () => {
    await using scratch = await createScratch('late')
    await using site = await startUserSite({ major: 17, scratch })
    await site.server.query('create table said as select $$hello$$ as t')
    await site.backup()
    await site.server.query('create table more as select 1 as i')
    await site.switchWal()
    const sandboxes = join(site.folder, 'sandboxes')
    const place = ['--output', 'json', 'at', '--sandbox-directory', sandboxes, '--keep', '1s']

    const kept = startHoldfast([...place, '--paused', '--target-immediate'], { config: site.configuration })
    const { sandbox } = await waitUntil('the sandbox', () => documentIn(kept.stdout()))
    const results = await Promise.all([1, 2].map(() => site.run(...place, '--advance', sandbox)))
    const ended = await kept.ended

    // In time, too late, or second where the first one has gone to the end already.
    for (const { code, stderr } of results)
      assert.ok(code === 0 || code === 6 || /it is there already/.test(stderr), stderr)
    assert.equal(ended.code, 0, ended.stderr)
    assert.deepEqual(await readdir(sandboxes), [])
    // What fetched WAL ahead ends by itself.
    await waitUntil('the end of all processes', () => processesIn(sandboxes).length === 0)
  })

  test('refuses a sandbox whose recovery has ended, which goes on to be there', async () => {
    await using scratch = await createScratch('promoted')
    await using site = await startUserSite({ major: 18, scratch })
    await site.server.query('create table said as select $$hello$$ as t')
    await site.backup()
    await site.switchWal()
    const place = ['--output', 'json', 'at', '--sandbox-directory', join(site.folder, 'sandboxes')]

    const kept = startHoldfast(place, { config: site.configuration })
    const begun = await waitUntil('the sandbox', () => documentIn(kept.stdout()))
    const refused = await site.run(...place, '--advance', begun.sandbox)
    const both = await site.run(...place, '--advance', begun.sandbox, '--paused')
    const words = await said(begun)
    kept.kill('SIGTERM')
    await kept.ended

    assert.equal(refused.code, 3, refused.stderr)
    assert.match(refused.stderr, /--paused/)
    assert.equal(both.code, 2, both.stderr)
    assert.deepEqual(words, ['hello'])
  })
})

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

interface Moment {
  readonly lsn: string
  readonly time: string
}

/** Gives the moments after the first word and after the second, each with a checkpoint behind it. */
async function sayThreeWords(server: TestServer): Promise<readonly [Moment, Moment]> {
  const moments: Moment[] = []
  for (const word of ['one', 'two', 'three']) {
    await server.query('insert into said values ($1)', [word])
    moments.push(
      ...(await server.query<Moment>(
        "select pg_current_wal_insert_lsn()::text as lsn, to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US \"UTC\"') as time",
      )),
    )
    await server.query('checkpoint')
  }
  const [one, two] = moments
  assert.ok(one !== undefined && two !== undefined)
  return [one, two]
}

const before = (lsn: string): readonly string[] => ['--target-lsn', lsn, '--target-exclusive']

/** What `at` has answered; undefined while that is not complete. */
function documentIn(stdout: string): AtDocument | undefined {
  if (!stdout.endsWith('}\n')) return undefined
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what it says is what the test looks at
  return JSON.parse(stdout) as AtDocument
}

/** What the table holds on the server of a sandbox. */
async function said({ connection }: AtDocument): Promise<readonly string[]> {
  const valueOf = (name: string): string => new RegExp(`${name}=(\\S+)`).exec(connection)?.[1] ?? ''
  const client = new Client({
    host: valueOf('host'),
    port: Number(valueOf('port')),
    user: valueOf('user'),
    database: valueOf('dbname'),
  })
  await client.connect()
  try {
    const { rows } = await client.query<{ t: string }>('select t from said')
    return rows.map(({ t }) => t)
  } finally {
    await client.end()
  }
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
