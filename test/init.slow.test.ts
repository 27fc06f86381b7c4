import assert from 'node:assert/strict'
import { chmod, mkdir, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import type { InitDocument } from '../src/api/init-document.ts'
import { giveTree } from './support/give-tree.ts'
import { expectOk, runHoldfast, type HoldfastResult } from './support/holdfast.ts'
import { startServer, type TestServer } from './support/postgres-server.ts'
import { createScratch, type Scratch } from './support/scratch.ts'

describe('init', () => {
  for (const major of [14, 18] as const) {
    test(`with --apply sets up PostgreSQL ${major} so that a backup works after the restart (R3)`, async () => {
      await using scratch = await createScratch('init')
      await using server = await startServer({ major, scratch })
      const site = siteOf(scratch, server)

      const first = await site.init('--apply')

      assert.deepEqual(first.applied, ['archive_mode', 'archive_command', 'archive_timeout'])
      assert.match(first.restart ?? '', /pg_ctl'? restart -m fast -D /)
      assert.deepEqual(states(first), {
        wal_level: 'ok',
        archive_mode: 'restart-due',
        archive_command: 'ok',
        archive_timeout: 'ok',
        full_page_writes: 'ok',
      })
      await server.restart()
      const second = await site.init('--apply')
      assert.deepEqual(second.applied, [])
      assert.equal(second.restart, null)
      assert.deepEqual(made(second), ['exists', 'exists', 'exists', 'exists'])
      expectOk(await site.run('backup'))
    })
  }

  test('without --apply changes nothing in the server and prints the SQL', async () => {
    await using scratch = await createScratch('init')
    await using server = await startServer({ major: 16, scratch, settings: { full_page_writes: false } })
    const site = siteOf(scratch, server)

    const result = await site.init()

    assert.deepEqual(made(result), ['created', 'created', 'created', 'created'])
    assert.equal(await setting(server, 'archive_command'), '(disabled)')
    assert.ok(result.statements.includes("ALTER SYSTEM SET archive_mode = 'on'"))
    assert.ok(result.statements.includes("ALTER SYSTEM SET full_page_writes = 'on'"))
    for (const statement of result.statements) await server.query(statement)
    await server.restart()
    assert.deepEqual((await site.init()).statements, [])
  })

  test('of a server that is reached over TCP asks it where its data directory is', async () => {
    await using scratch = await createScratch('init')
    await using server = await startServer({
      major: 17,
      scratch,
      settings: { listen_addresses: '127.0.0.1' },
    })
    const site = siteOf(scratch, server)
    const connection = `host=127.0.0.1 port=${server.port} user=postgres dbname=postgres sslmode=disable`

    const options = ['--connection', connection, '--apply']
    const result = read(expectOk(await site.run('--output', 'json', 'init', ...site.options, ...options)))

    assert.equal(result.dataDirectory, server.dataDirectory)
    assert.equal((await stat(site.configFile)).uid, scratch.user.uid)
    await server.restart()
    expectOk(await site.run('backup'))
  })

  test('says in words what was made and what losing the key means', async () => {
    await using scratch = await createScratch('init')
    await using server = await startServer({ major: 16, scratch })
    const site = siteOf(scratch, server)

    const { stdout } = expectOk(await site.run('init', ...site.options))

    assert.match(stdout, /local\.key nothing in the repository can ever be read again\.\nKeep a copy/)
    assert.match(stdout, /archive_mode +off +must be on, takes a restart/)
    assert.match(stdout, /ALTER SYSTEM SET archive_command = /)
  })

  test('makes private files, owned by the owner of the cluster (4.2)', async () => {
    await using scratch = await createScratch('init')
    await using server = await startServer({ major: 16, scratch })
    const site = siteOf(scratch, server)

    const { keyFile } = await site.init()

    assert.ok(keyFile)
    const key = await stat(keyFile.path)
    const configuration = await stat(site.configFile)
    assert.equal(key.mode & 0o777, 0o600)
    assert.equal(configuration.mode & 0o777, 0o600)
    assert.deepEqual([key.uid, configuration.uid], [scratch.user.uid, scratch.user.uid])
    assert.match(await readFile(keyFile.path, 'utf8'), /^[0-9a-f]{64}\n$/)
  })

  test('never makes a new key for a repository that is there', async () => {
    await using scratch = await createScratch('init')
    await using server = await startServer({ major: 16, scratch })
    const site = siteOf(scratch, server)
    const { keyFile } = await site.init()
    assert.ok(keyFile)
    await rm(keyFile.path)

    expectFailure(
      await site.run('init', ...site.options),
      2,
      /expected its key in .*local\.key", found no such file/,
    )

    await assert.rejects(stat(keyFile.path))
  })

  test('refuses another cluster under the same name, before it changes anything (R64)', async () => {
    await using scratch = await createScratch('init')
    await using server = await startServer({ major: 16, scratch })
    await using other = await startServer({ major: 16, scratch })
    const site = siteOf(scratch, server)
    await site.init()
    await rm(site.configFile)

    const result = await site.run('init', ...siteOf(scratch, other).optionsFor(site))

    expectFailure(result, 5, /using cluster "main" in .*expected system identifier \d+, found \d+/)
    await assert.rejects(stat(site.configFile))
  })

  test('takes a second cluster into the same repository under its own name', async () => {
    await using scratch = await createScratch('init')
    await using server = await startServer({ major: 16, scratch })
    await using other = await startServer({ major: 14, scratch })
    const site = siteOf(scratch, server)
    const { keyFile } = await site.init()
    await rm(site.configFile)

    const second = siteOf(scratch, other)
    const options = ['--key-file', keyFile?.path ?? '', ...second.optionsFor(site, 'second')]
    const result = expectOk(await site.run('--output', 'json', 'init', ...options))

    assert.deepEqual(made(read(result)), ['created', 'exists', 'exists', 'created'])
  })

  test('leaves a configuration that says something else alone, and says what differs', async () => {
    await using scratch = await createScratch('init')
    await using server = await startServer({ major: 16, scratch })
    const site = siteOf(scratch, server)
    await site.init()
    const before = await readFile(site.configFile, 'utf8')

    const options = ['--data-directory', '/elsewhere', '--run-as', scratch.user.name, ...site.options]
    const result = await site.run('init', ...options)

    expectFailure(result, 5, /its data-directory is not set, expected "\/elsewhere"/)
    assert.equal(await readFile(site.configFile, 'utf8'), before)
  })

  test("refuses to replace another tool's archive_command until it is told to", async () => {
    await using scratch = await createScratch('init')
    const settings = { archive_mode: 'on', archive_command: 'test -f /backup/%f || cp %p /backup/%f' }
    await using server = await startServer({ major: 16, scratch, settings })
    const site = siteOf(scratch, server)

    const refused = await site.run('init', '--apply', ...site.options)

    expectFailure(refused, 5, /archives in another way already, archive_command is "test -f/)
    await assert.rejects(readdir(site.home))
    assert.equal(states(await site.init())['archive_command'], 'foreign')
    const replaced = await site.init('--apply', '--replace-archive-command')
    assert.deepEqual(replaced.applied, ['archive_command', 'archive_timeout'])
    assert.match(await setting(server, 'archive_command'), /archive-push --ahead/)
  })

  test('refuses places that would make the backup worthless', async () => {
    await using scratch = await createScratch('init')
    await using server = await startServer({ major: 16, scratch })
    const site = siteOf(scratch, server)
    const inside = `posix:${server.dataDirectory}/backup`

    const repoInside = await site.run('init', ...site.options.slice(0, 4), '--repo', inside)
    expectFailure(repoInside, 5, /lie in each other/)
    await assert.rejects(stat(join(server.dataDirectory, 'backup')))
    const keyInside = await site.run(
      'init',
      ...site.options,
      '--key-file',
      join(site.repositoryFolder, 'key'),
    )
    expectFailure(keyInside, 5, /would lie in its own repository/)
  })

  test('locks the repository with a passphrase, or not at all, when told so', async () => {
    await using scratch = await createScratch('init')
    await using server = await startServer({ major: 16, scratch })
    const site = siteOf(scratch, server)
    const passphraseFile = join(site.home, 'passphrase')
    await mkdir(site.home)
    await writeFile(passphraseFile, 'correct horse battery staple\n')
    await chmod(passphraseFile, 0o600)
    await giveTree(site.home, scratch.user)

    const locked = await site.init('--passphrase-file', passphraseFile)

    assert.equal(locked.keyFile, null)
    assert.equal(locked.repo.isEncrypted, true)
    assert.deepEqual(made(await site.init()), ['exists', 'exists', undefined, 'exists'])
    const open = siteOf(scratch, server, 'open')
    assert.equal((await open.init('--no-encryption')).repo.isEncrypted, false)
  })

  test('refuses a password in the connection string and does not repeat it (4.2)', async () => {
    await using scratch = await createScratch('init')
    await using server = await startServer({ major: 16, scratch })
    const site = siteOf(scratch, server)

    const options = site.options.map((option) =>
      option.startsWith('host=') ? `${option} password=hunter2` : option,
    )
    const result = await site.run('init', ...options)

    expectFailure(result, 2, /without secrets, found one that holds a password/)
    assert.doesNotMatch(result.stderr + result.stdout, /hunter2/)
    await assert.rejects(readdir(site.home))
  })

  test('says which options are missing when it cannot ask', async () => {
    expectFailure(
      await runHoldfast(['init', '--cluster', 'main']),
      2,
      /expected --connection, --repo, found none/,
    )
  })
})

/** Names that a shell, YAML, SQL or a format could take for something else. */
const hostileName = `it's "a" $HOME 100%p\\ # place`

interface Site {
  readonly home: string
  readonly configFile: string
  readonly repositoryFolder: string
  readonly options: readonly string[]
  optionsFor(other: Site, cluster?: string): readonly string[]
  run(...args: readonly string[]): Promise<HoldfastResult>
  init(...options: readonly string[]): Promise<InitDocument>
}

function siteOf(scratch: Scratch, server: TestServer, name = hostileName): Site {
  const home = join(scratch.folder, name)
  const configFile = join(home, 'etc', 'holdfast.yaml')
  const repositoryFolder = join(home, 'repo')
  const connection = `host='${server.socketDirectory}' port=${server.port} user=postgres dbname=postgres`
  const options = (cluster: string, folder: string): readonly string[] => {
    return ['--cluster', cluster, '--connection', connection, '--repo', `posix:${folder}`]
  }
  const run = (...args: readonly string[]): Promise<HoldfastResult> =>
    runHoldfast(args, { config: configFile })
  return {
    home,
    configFile,
    repositoryFolder,
    options: options('main', repositoryFolder),
    optionsFor: (other, cluster = 'main') => options(cluster, other.repositoryFolder),
    run,
    init: async (...further) => {
      const common = options('main', repositoryFolder)
      return read(expectOk(await run('--output', 'json', 'init', ...common, ...further)))
    },
  }
}

function read({ stdout }: HoldfastResult): InitDocument {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what it says is what the tests look at
  return JSON.parse(stdout) as InitDocument
}

function states({ settings }: InitDocument): Record<string, string> {
  return Object.fromEntries(settings.map(({ name, state }) => [name, state]))
}

function made({ configuration, repo, keyFile, clusterRecord }: InitDocument): readonly unknown[] {
  return [configuration.made, repo.made, keyFile?.made, clusterRecord]
}

async function setting(server: TestServer, name: string): Promise<string> {
  const [row] = await server.query<{ value: string }>('select current_setting($1) as value', [name])
  return row?.value ?? assert.fail()
}

function expectFailure({ code, stderr }: HoldfastResult, wanted: number, message: RegExp): void {
  assert.match(stderr, message)
  assert.match(stderr, /^hint: \S/m)
  assert.equal(code, wanted, stderr)
}
