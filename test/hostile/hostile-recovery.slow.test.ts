import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { appendFile, chmod, mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { Client } from 'pg'
import { runHoldfast, type HoldfastResult } from '../support/holdfast.ts'
import { createScratch, type Scratch } from '../support/scratch.ts'
import { startUserSite, type UserSite } from '../support/user-site.ts'

// RULES 4.4: whatever the files of a cluster say, the server that recovers them for us runs no program and writes nowhere
// else. Once the operator starts the cluster it is as it was.
describe('the recovery of a cluster whose own files are hostile', () => {
  let scratch: Scratch
  let site: UserSite
  let canaries: string

  before(async () => {
    scratch = await createScratch('hostile')
    site = await startUserSite({ major: 17, scratch })
    // Whatever is run or written is seen here: anybody may.
    canaries = await scratch.makeFolder('canaries')
    await chmod(canaries, 0o777)
  })
  after(async () => {
    await site[Symbol.asyncDispose]()
    await scratch[Symbol.asyncDispose]()
  })

  /** Backs up the cluster with these lines in a configuration file that the server has not read, and restores it. */
  async function restoreWith(lines: readonly string[], file = 'postgresql.conf'): Promise<HoldfastResult> {
    const path = join(site.server.dataDirectory, file)
    await appendFile(path, ['', ...lines, ''].join('\n'))
    await site.backup()
    await site.switchWal()
    const target = join(site.folder, 'restored')
    const result = await runHoldfast(['restore', '--target-dir', target], {
      config: site.configuration,
      timeoutMs: 60_000,
    })
    await rm(target, { recursive: true, force: true })
    return result
  }

  test('runs no command, loads no library of a session and writes to no place that its configuration names', async () => {
    await mkdir(join(canaries, 'elsewhere'))
    const commands = [
      'archive_command',
      'restore_command',
      'recovery_end_command',
      'archive_cleanup_command',
      'ssl_passphrase_command',
    ].map((name) => `${name} = 'touch ${join(canaries, name)}; true'`)

    const result = await restoreWith([
      ...commands,
      `ssl = on`,
      `ssl_passphrase_command_supports_reload = on`,
      `session_preload_libraries = '${canaries}/session.so'`,
      `local_preload_libraries = 'nothing_like_it'`,
      `data_directory = '${canaries}/elsewhere'`,
      `external_pid_file = '${canaries}/pid'`,
      `logging_collector = on`,
      `log_destination = 'stderr,csvlog'`,
      `log_directory = '${canaries}'`,
      `unix_socket_directories = '${canaries}'`,
      `hba_file = '${canaries}/hba'`,
      `ident_file = '${canaries}/ident'`,
      `include_if_exists = '${canaries}/nothing'`,
    ])

    assert.equal(result.code, 0, result.stderr)
    assert.deepEqual(await readdir(canaries, { recursive: true }), ['elsewhere'])
    await rm(join(canaries, 'elsewhere'), { recursive: true })
  })

  test('does not let the database act on our connection: a login trigger is not run', async () => {
    const database = 'template1'
    await queryIn(site, database, [
      `create function public.on_login() returns event_trigger language plpgsql as
       $$ begin execute $c$copy (select 1) to program 'touch ${join(canaries, 'login')}'$c$; end $$`,
      'create event trigger hostile on login execute function public.on_login()',
      'alter event trigger hostile enable always',
    ])
    await rm(join(canaries, 'login'), { force: true })

    const result = await restoreWith([])

    assert.equal(result.code, 0, result.stderr)
    assert.ok(!existsSync(join(canaries, 'login')), 'the trigger ran a program')
  })

  test('ends unpromoted, and names it, when a library is missing that replay may need', async () => {
    const result = await restoreWith([`shared_preload_libraries = '${canaries}/evil.so'`])

    assert.equal(result.code, 1, result.stderr)
    assert.match(result.stderr, /error: .*evil\.so/)
    assert.deepEqual(await readdir(canaries), [])
  })
})

async function queryIn(site: UserSite, database: string, statements: readonly string[]): Promise<void> {
  const client = new Client({ ...site.server.clientConfig, database })
  await client.connect()
  try {
    for (const statement of statements) await client.query(statement)
  } finally {
    await client.end()
  }
}
