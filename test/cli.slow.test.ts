import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'

const binary = join(import.meta.dirname, '../bin/holdfast')
const folder = mkdtempSync(join(tmpdir(), 'holdfast-cli-'))
const keyFile = join(folder, 'local.key')
const configFile = join(folder, 'holdfast.yaml')

writeFileSync(keyFile, 'key\n', { mode: 0o600 })
writeFileSync(
  configFile,
  `clusters:
  main:
    connection: host=/run/postgresql user=postgres
repos:
  local:
    location: posix:/backup
    key-file: ${keyFile}
`,
  { mode: 0o600 },
)

describe('holdfast', () => {
  after(() => rmSync(folder, { recursive: true }))

  test('answers wrong arguments with exit code 2, an error and the next step', () => {
    const cases: readonly (readonly [readonly string[], RegExp])[] = [
      [[], /^error: reading the arguments: expected a command, found none\nhint: Run "holdfast --help"/],
      [['repo'], /^error: reading the arguments: expected a subcommand, found none\nhint: Add "--help"/],
      [
        ['verson'],
        /^error: reading the arguments: there is no command "verson"\nhint: Did you mean "version"\?\n$/,
      ],
      [['config', 'shwo'], /^error: .*unknown command "shwo"\nhint: Did you mean show\?\n$/],
      [
        ['config', 'show', '--ouput', 'json'],
        /^error: .*unknown option "--ouput"\nhint: Did you mean --output\?\n$/,
      ],
      [['--output', 'xml', 'version'], /^error: .*"xml" is invalid: allowed choices are text, json\nhint: /],
      [
        ['version', 'twice'],
        /^error: .*too many arguments for "version": expected 0 arguments but got 1: twice\nhint: /,
      ],
      [['completion'], /^error: .*missing required argument "shell"\nhint: /],
    ]

    for (const [args, expected] of cases) {
      const { status, stdout, stderr } = holdfast(args)
      assert.match(stderr, expected)
      assert.deepEqual({ status, stdout }, { status: 2, stdout: '' }, args.join(' '))
    }
  })

  test('answers wrong arguments of archive-get with 126, which PostgreSQL does not take for the end of the WAL (M1)', () => {
    assert.equal(holdfast(['archive-get', '--nonsense']).status, 126)
    assert.equal(holdfast(['--nonsense', 'archive-get', 'a', 'b']).status, 126)
    assert.equal(holdfast(['archive-get', 'a', 'b'], { HOLDFAST_CONFIG: '/nonexistent' }).status, 126)
    assert.equal(holdfast(['archive-get', '--mode=standby', '--nonsense']).status, 1)
  })

  test('puts an error as one JSON document on standard output when JSON is wanted', () => {
    const { status, stdout, stderr } = holdfast([
      'config',
      'show',
      '--output',
      'json',
      '--config',
      '/nonexistent',
    ])

    assert.equal(status, 2)
    assert.deepEqual(JSON.parse(stdout), {
      version: 1,
      error: {
        code: 'config-missing',
        message: 'reading the configuration: there is no file "/nonexistent"',
        hint: 'Correct --config or HOLDFAST_CONFIG, or write the file with "holdfast init".',
        exitCode: 2,
      },
    })
    assert.match(stderr, /^error: /)
  })

  test('names file, line and column of every mistake in the configuration (I5)', () => {
    const wrong = join(folder, 'wrong.yaml')
    writeFileSync(wrong, 'clusters:\n  main:\n    conection: x\nbackup:\n  workers: many\n', { mode: 0o600 })

    const { status, stderr } = holdfast(['--config', wrong, 'config', 'check'])

    assert.equal(status, 2)
    assert.deepEqual(stderr.split('\n').slice(0, 3), [
      `error: ${wrong}:2:3 clusters.main.connection: expected a libpq connection string, found nothing`,
      `error: ${wrong}:3:5 clusters.main: expected a known key, found "conection" (Did you mean "connection"?)`,
      `error: ${wrong}:5:3 backup.workers: expected a whole number from 1 to 64, found "many"`,
    ])
  })

  test('shows the settings in force and where each came from', () => {
    const variables = { HOLDFAST_CONFIG: configFile, HOLDFAST_BACKUP_WORKERS: '7' }
    const { status, stdout, stderr } = holdfast(['config', 'show'], variables)

    assert.deepEqual({ status, stderr }, { status: 0, stderr: '' })
    const rows = stdout.split('\n').map((line) => line.split(/ {2,}/))
    assert.deepEqual(rows[0], [`configuration file ${configFile}`])
    assert.deepEqual(
      rows.find(([name]) => name === 'backup.workers'),
      ['backup.workers', '7', 'environment', 'HOLDFAST_BACKUP_WORKERS'],
    )
    assert.deepEqual(
      rows.find(([name]) => name === 'repos.local.location'),
      ['repos.local.location', 'posix:/backup', 'line 6:5', 'HOLDFAST_REPOS_LOCAL_LOCATION'],
    )
  })

  test('shows the same to programs', () => {
    const { stdout } = holdfast(['--output=json', 'config', 'show'], { HOLDFAST_CONFIG: configFile })
    const document: unknown = JSON.parse(stdout)

    assert.ok(
      document !== null && typeof document === 'object' && 'settings' in document && 'version' in document,
    )
    assert.equal(document.version, 1)
    assert.ok(Array.isArray(document.settings))
    assert.deepEqual(document.settings[0], {
      path: 'clusters.main.connection',
      value: 'host=/run/postgresql user=postgres',
      source: 'file',
      place: `${configFile}:3:5`,
      variable: 'HOLDFAST_CLUSTERS_MAIN_CONNECTION',
    })
  })

  test('checks the configuration with the key files that it names', () => {
    const sound = holdfast(['--config', configFile, 'config', 'check'])
    chmodSync(keyFile, 0o644)
    const exposed = holdfast(['--config', configFile, 'config', 'check'])
    chmodSync(keyFile, 0o600)

    assert.equal(sound.stdout, `the configuration ${configFile} is in order\nclusters: main\nrepos: local\n`)
    assert.equal(exposed.status, 2)
    assert.match(
      exposed.stderr,
      /reading the secret file ".*local\.key": expected mode 06[04]0 or less, found mode 0644/,
    )
  })

  test('prints the JSON Schema that the repository has', () => {
    const { stdout } = holdfast(['config', 'schema'])

    assert.match(stdout, /"title": "The configuration of Holdfast"/)
  })

  test('prints completion scripts that the shell understands and that complete', () => {
    const script = holdfast(['completion', 'bash']).stdout
    const complete = (words: string): readonly string[] => {
      const typed = words.split(' ')
      const run = `${script}\nCOMP_WORDS=(${typed.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${typed.length - 1}; _holdfast; echo "\${COMPREPLY[@]}"`
      return spawnSync('bash', ['-c', run], { encoding: 'utf8' }).stdout.trim().split(' ')
    }

    assert.equal(spawnSync('bash', ['-n'], { input: script, encoding: 'utf8' }).stderr, '')
    assert.deepEqual(complete('holdfast ver'), ['verify', 'version'])
    assert.deepEqual(complete('holdfast repo keys r'), ['remove'])
    assert.deepEqual(complete('holdfast config s'), ['show', 'schema'])
    assert.deepEqual(complete('holdfast --output '), ['text', 'json'])
    assert.deepEqual(complete('holdfast completion b'), ['bash'])
    assert.deepEqual(complete('holdfast config show --lo'), ['--log-level'])
    for (const shell of ['zsh', 'fish']) assert.match(holdfast(['completion', shell]).stdout, /config.*show/s)
  })

  test('prints its version in any position of the global options', () => {
    const { stdout } = holdfast(['version', '--output', 'json'])

    assert.match(stdout, /^\{\n {2}"version": 1,\n {2}"holdfast": "\d+\.\d+\.\d+"/)
  })

  test('prints help that names every command', () => {
    const { status, stdout } = holdfast(['--help'])

    assert.equal(status, 0)
    for (const name of ['config', 'completion', 'version'])
      assert.match(stdout, new RegExp(`^ {2}${name}`, 'm'))
  })

  test('keeps compiled code in a home of its user only', () => {
    const shared = join(folder, 'shared')
    mkdirSync(shared)
    chmodSync(shared, 0o777)

    for (const home of [shared, join(folder, 'missing')]) {
      assert.equal(holdfast(['version'], { HOME: home }).status, 0)
      assert.equal(existsSync(join(home, '.cache')), false)
    }
    assert.equal(holdfast(['version'], { HOME: folder }).status, 0)
    assert.equal(existsSync(join(folder, '.cache/holdfast')), true)
  })

  test('ends quietly when nobody reads its answer', async () => {
    const child = spawn(binary, ['config', 'schema'], { stdio: ['ignore', 'pipe', 'pipe'] })
    child.stdout.destroy()
    await once(child, 'exit')

    assert.equal(child.exitCode, 0)
    assert.equal(child.stderr.read(), null)
  })
})

function holdfast(args: readonly string[], variables: Readonly<Record<string, string>> = {}) {
  const { PATH = '' } = process.env
  return spawnSync(binary, args, { encoding: 'utf8', env: { PATH, HOME: folder, ...variables } })
}
