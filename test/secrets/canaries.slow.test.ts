import assert from 'node:assert/strict'
import { lstat, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { expectOk, type HoldfastResult } from '../support/holdfast.ts'
import { ArgumentWatch, formsOf, makeCanary } from './canary.ts'
import { startSecretSite, type SecretSite } from './secret-site.ts'

/** What is wrong: other lines of the configuration, other environment, or something done to the files. */
interface Failure {
  readonly lines?: Readonly<Record<string, string>>
  readonly env?: Readonly<Record<string, string>>
  readonly repo?: 'keyed' | 'worded'
  readonly prepare?: () => Promise<unknown>
}

const commands: readonly (readonly string[])[] = [
  ['info'],
  ['check', '--timeout', '2s'],
  ['backup'],
  ['restore', '--target-dir', '/nowhere/at/all'],
  ['archive-push', '/nowhere/pg_wal/000000010000000000000001'],
  ['archive-get', '000000010000000000000001', '/nowhere/RECOVERYXLOG'],
  ['expire', '--dry-run'],
  ['config', 'show'],
  ['config', 'check'],
]

// RULES 4.2: secrets are in files and in memory, and nowhere else, whatever goes wrong.
describe('a secret', () => {
  let site: SecretSite
  let watch: ArgumentWatch
  /** Wrong secrets are secrets too: somebody's typing error, or the key of another repository. */
  const wrong = { password: makeCanary(), key: makeCanary() + makeCanary(), passphrase: makeCanary() }
  const typed = makeCanary()

  before(async () => {
    process.umask(0)
    site = await startSecretSite()
    watch = new ArgumentWatch([...Object.values(site.secrets), ...Object.values(wrong)])
  })
  after(async () => {
    watch[Symbol.dispose]()
    await site[Symbol.asyncDispose]()
  })

  const failures: Readonly<Record<string, () => Failure>> = {
    'nothing is wrong': () => ({}),
    'the password is wrong': () => ({
      lines: { passfile: `    passfile: ${site.path('wrong-passfile')}` },
      prepare: () => site.write('wrong-passfile', `*:*:*:*:${wrong.password}\n`),
    }),
    'the password is wrong in the environment': () => ({
      lines: { passfile: '' },
      env: { PGPASSWORD: wrong.password },
    }),
    'the password file is open to all': () => ({
      lines: { passfile: `    passfile: ${site.path('open-passfile')}` },
      prepare: () => site.write('open-passfile', `*:*:*:*:${wrong.password}\n`, 0o644),
    }),
    'the password stands in the connection': () => ({
      lines: { connection: `    connection: ${site.connection} password=${wrong.password}` },
    }),
    'the password stands in a connection URL': () => ({
      lines: { connection: `    connection: "postgresql://holdfast:${wrong.password}@localhost:1/postgres"` },
    }),
    'the password stands in a connection that cannot be read': () => ({
      lines: { connection: `    connection: "password=${wrong.password} host= 'x"` },
    }),
    'the password stands in the environment as part of a connection': () => ({
      env: { HOLDFAST_CLUSTERS_MAIN_CONNECTION: `${site.connection} password='${wrong.password}'` },
    }),
    'the key is wrong': () => ({
      lines: { key: `    key-file: ${site.path('wrong-key')}` },
      prepare: () => site.write('wrong-key', wrong.key),
    }),
    'the key is too short': () => ({
      lines: { key: `    key-file: ${site.path('short-key')}` },
      prepare: () => site.write('short-key', wrong.key.slice(0, 16)),
    }),
    'the key is open to all': () => ({
      lines: { key: `    key-file: ${site.path('open-key')}` },
      prepare: () => site.write('open-key', wrong.key, 0o644),
    }),
    'the passphrase is wrong': () => ({
      repo: 'worded',
      lines: { passphrase: `    passphrase-file: ${site.path('wrong-passphrase')}` },
      prepare: () => site.write('wrong-passphrase', wrong.passphrase),
    }),
    'the secrets stand in the configuration itself': () => ({
      lines: {
        key: `    key: ${wrong.key}`,
        passphrase: `    passphrase: ${wrong.passphrase}`,
        passfile: `    password: ${wrong.password}`,
      },
    }),
    'a secret in the configuration breaks its syntax': () => ({
      lines: { passfile: `   passfile "${wrong.password}: [` },
    }),
    'the server cannot be reached': () => ({
      lines: { connection: `    connection: host=${site.path('')} port=1 user=holdfast` },
    }),
    'the repository is not there': () => ({
      lines: { repos: `repos:\n  keyed:\n    location: posix:${site.path('nothing')}` },
    }),
  }

  for (const [what, of] of Object.entries(failures)) {
    test(`shows nowhere when ${what}`, async () => {
      const { lines = {}, env = {}, repo = 'keyed', prepare } = of()
      await prepare?.()
      const config = await site.write(
        'holdfast.yaml',
        `${Object.values({ ...site.configuration(), ...lines }).join('\n')}\n`,
      )
      for (const [index, command] of commands.entries()) {
        const global = ['--log-level', 'debug', '--output', index % 2 === 0 ? 'json' : 'text', '--repo', repo]
        const result = await site.run(config, [...global, ...command], env)
        expectSilence(result)
      }
      assert.deepEqual([...watch.found], [])
    })
  }

  test('is refused as an option, without being repeated', async () => {
    const config = site.path('holdfast.yaml')
    for (const option of ['--password', '--passphrase', '--key', '--secret', '--PGPASSWORD']) {
      for (const args of [[option, typed], [`${option}=${typed}`]]) {
        const result = await site.run(config, ['--log-level', 'debug', 'info', ...args])

        assert.equal(result.code, 2, result.stderr)
        expectSilence(result)
      }
    }
  })

  test('is refused in the connection that "init" is given, without being repeated', async () => {
    for (const connection of [
      `host=/nowhere password=${typed}`,
      `postgresql://u:${typed}@localhost:1/postgres`,
      `postgresql://localhost:1/postgres?password=${typed}`,
    ]) {
      const args = [
        'init',
        '--cluster=main',
        `--connection=${connection}`,
        `--repo=posix:${site.path('new')}`,
      ]
      const result = await site.run(site.path('new.yaml'), args)

      assert.notEqual(result.code, 0)
      expectSilence(result)
    }
  })

  test('is in no file that was written, and every file is for its owner or group alone', async () => {
    const config = await site.write('holdfast.yaml', `${Object.values(site.configuration()).join('\n')}\n`)
    expectOk(await site.run(config, ['--repo', 'keyed', 'backup', '--log-level', 'debug']))
    const secretFiles = /^(?:wrong-|open-|short-)?(?:key|passphrase|passfile)$/

    let count = 0
    for (const { path, name, isOurs } of await filesOf(site.folder)) {
      count += 1
      if (!secretFiles.test(name) && name !== 'holdfast.yaml')
        expectNothingIn(await readFile(path, 'latin1'), path)
      const { mode } = await lstat(path)
      if (isOurs) assert.equal(mode & 0o027, 0, `${path} has mode ${(mode & 0o777).toString(8)}`)
    }
    assert.ok(count > 10 && watch.lookCount > 100)
  })

  test('cannot be read through a debugger: SIGUSR1 opens none, and the command goes on', async () => {
    const config = await site.write('holdfast.yaml', `${Object.values(site.configuration()).join('\n')}\n`)
    const result = await site.signalled(config, ['check', '--timeout', '30s'], 'SIGUSR1')

    assert.equal(result.signal, null)
    assert.doesNotMatch(result.stdout + result.stderr, /debugger|inspector/i)
    assert.match(result.stdout, /archiv/, 'it did not get to its answer')
    expectSilence(result)
  })

  const all = (): readonly string[] => [...Object.values(site.secrets), ...Object.values(wrong), typed]

  function expectSilence({ args, stdout, stderr }: HoldfastResult): void {
    expectNothingIn(stdout, `stdout of ${args.slice(0, 7).join(' ')}`)
    expectNothingIn(stderr, `stderr of ${args.slice(0, 7).join(' ')}`)
  }

  function expectNothingIn(text: string, where: string): void {
    for (const canary of all()) {
      for (const form of formsOf(canary))
        assert.ok(!text.includes(form), `${where} shows a secret:\n${text.slice(0, 3000)}`)
    }
  }
})

/** `isOurs`: the tool made it, not the test. */
async function filesOf(folder: string): Promise<readonly { path: string; name: string; isOurs: boolean }[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => ({ path: join(parentPath, name), name, isOurs: parentPath !== folder }))
}
