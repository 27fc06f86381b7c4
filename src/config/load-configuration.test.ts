import assert from 'node:assert/strict'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { OperationError } from '../domain/operation-error.ts'
import type { Environment } from '../platform/environment.ts'
import { loadConfiguration } from './load-configuration.ts'
import type { LoadedConfiguration } from './load-configuration.ts'

const sound = `clusters:
  main:
    connection: host=/run/postgresql user=postgres
repos:
  local:
    location: posix:/backup
    key-file: /etc/holdfast/local.key
backup:
  workers: 4
  max-rate: 100MB
`

describe('loadConfiguration', () => {
  test('gives what the file says, sizes in bytes and durations in milliseconds, and defaults for the rest', async () => {
    const { configuration } = await load(sound)

    assert.deepEqual(configuration.backup, {
      workers: 4,
      compressionLevel: 1,
      maxRate: 100 * 1024 * 1024,
      archiveTimeout: 600_000,
      fastCheckpoint: true,
      copyToAll: true,
      auditEvery: 30,
    })
    assert.equal(configuration.archive.prefetch, 16)
    assert.deepEqual({ ...configuration.clusters }, {
      main: { connection: 'host=/run/postgresql user=postgres', logicalOnly: false, links: 'error' },
    } as never)
  })

  test('gives the rules for dumps of a section in a section, and a cluster with rules of its own none but these', async () => {
    const keep = 'keep: { window: 14d, dumps: { count: 7, window: 30d } }\n'
    const { configuration } = await load(`${sound}${keep}`, { HOLDFAST_KEEP_DUMPS_COUNT: '8' })

    const defaults = { minimum: 1, afterDump: true }
    assert.deepEqual(configuration.keep.dumps, { ...defaults, count: 8, window: 30 * 24 * 3_600_000 })
    const own = sound.replace('repos:', '    keep: {}\nrepos:')
    const { clusters } = (await load(`${own}${keep}`)).configuration
    assert.deepEqual(Object.values(clusters)[0]?.keep?.dumps, defaults)
  })

  test('says where every value came from', async () => {
    const { sources } = await load(sound, { HOLDFAST_BACKUP_COMPRESSION_LEVEL: '9' })
    const sourceOf = (path: string) => sources.find((setting) => setting.path.join('.') === path)

    assert.deepEqual(sourceOf('backup.workers'), {
      path: ['backup', 'workers'],
      value: 4,
      source: { kind: 'file', place: 'FILE:9:3' },
      variable: 'HOLDFAST_BACKUP_WORKERS',
    })
    assert.deepEqual(sourceOf('backup.compression-level')?.source, {
      kind: 'environment',
      variable: 'HOLDFAST_BACKUP_COMPRESSION_LEVEL',
    })
    assert.deepEqual(sourceOf('backup.archive-timeout')?.source, { kind: 'default' })
    assert.equal(sourceOf('backup.archive-timeout')?.value, '10m')
    assert.deepEqual(sourceOf('clusters.main.run-as')?.source, { kind: 'none' })
    assert.equal(sourceOf('clusters.main.run-as')?.variable, 'HOLDFAST_CLUSTERS_MAIN_RUN_AS')
  })

  test('refuses wrong input with its line and what was expected and found (I5)', async () => {
    const cases: readonly (readonly [string, string | RegExp])[] = [
      [
        sound.replace('connection:', 'conection:'),
        /^FILE:3:5 clusters\.main\.connection: |FILE:3:5 clusters\.main: expected a known key, found "conection" \(Did you mean "connection"\?\)/m,
      ],
      [
        sound.replace('workers: 4', 'workers: "two"'),
        'FILE:9:3 backup.workers: expected a whole number from 1 to 64, found "two"',
      ],
      [
        sound.replace('workers: 4', 'workers: 0'),
        'FILE:9:3 backup.workers: expected a whole number from 1 to 64, found 0',
      ],
      [
        sound.replace('100MB', '100 bananas'),
        'FILE:10:3 backup.max-rate: expected a size such as "100MB" or "1.5GB", found "100 bananas"',
      ],
      [
        sound.replace('workers: 4', 'max-rate: 1GB'),
        'FILE:10:3: expected every key once, found the key "max-rate" a second time',
      ],
      [
        sound.replace('posix:/backup', 'ftp://backup'),
        'FILE:6:5 repos.local.location: expected posix:/path, s3:bucket/prefix, gcs:bucket/prefix, azure:container/prefix or sftp:user@host/path, the kinds of location that this version knows, found another text',
      ],
      [
        sound.replace('    key-file: /etc/holdfast/local.key\n', ''),
        'FILE:5:3 repos.local: expected exactly one of key-file and passphrase-file, because encryption is required, found neither',
      ],
      [
        sound.replace('location', 'encryption: none\n    location'),
        'FILE:5:3 repos.local: expected no key-file and no passphrase-file, because encryption is none, found one of them',
      ],
      [
        sound.replace('repos:\n', '    repos: [local, locl]\nrepos:\n'),
        'FILE:4:20 clusters.main.repos[1]: expected the name of a configured repo, found "locl" (Did you mean "local"?)',
      ],
      [
        sound.replace('main:', 'Main!:'),
        'FILE:2:3 clusters."Main!": expected a name of 1 to 63 lower-case letters, digits, "-" and "_", starting with a letter or a digit, found settings below it',
      ],
      [
        sound.replace('backup:\n', 'backup: 7\nrestore:\n'),
        /FILE:8:1 backup: expected settings below it, each on a line of its own, found another number/,
      ],
      ['clusters:\n  main:\n', /FILE:2:3 clusters\.main: expected settings below it.*found nothing/],
      ['- a\n', /FILE:1:1: expected settings, such as "clusters:", found something else/],
      ['a: "1\n', /FILE:\d:\d: expected a closing quote, bracket or comma, found none/],
      ['a: 1\n---\nb: 2\n', /FILE:2:1: expected one YAML document, found a second one/],
      ['\tclusters: 1\n', /FILE:1:1: expected spaces for indentation, found a tab/],
      [`${sound}x: !!js/function 1\n`, /FILE:11:4: expected values without a tag, found a tag/],
      [`${sound}retention: 7\n`, /FILE:11:1: expected one of the keys clusters, repos, .*found "retention"/],
    ]

    for (const [text, expected] of cases) {
      const { message, code } = await refusal(text)
      assert.equal(code, 'config-invalid')
      if (typeof expected === 'string') assert.equal(message, expected)
      else assert.match(message, expected)
    }
  })

  test('tells several problems at once, and not more than an operator can read', async () => {
    const many = Array.from({ length: 50 }, (_, index) => `key${index}: 1\n`).join('')

    const few = await refusal(sound.replace('workers: 4', 'workers: x').replace('100MB', 'x'))
    const bounded = await refusal(sound + many)

    assert.equal(few.message.split('\n').length, 2)
    assert.equal(bounded.message.split('\n').length, 21)
    assert.match(bounded.message, /and 30 more problems$/)
  })

  test('never repeats a secret that was put into the wrong place (RULES 4.2)', async () => {
    const misplaced = [
      sound.replace('user=postgres', 'password=canary'),
      sound.replace('host=', 'canary host '),
      sound.replace('posix:/backup', 'sftp:me:canary@host/x'),
      sound.replace('/etc/holdfast/local.key', 'canary'),
      sound.replace('key-file', 'passphrase').replace('/etc/holdfast/local.key', 'canary'),
      sound.replace('    location', '    "canary'),
      sound.replace('backup:\n', 'canary\nbackup:\n'),
      'canary',
    ]

    for (const text of misplaced) {
      const error = await refusal(text)
      assert.doesNotMatch(error.message + (error.hint ?? ''), /canary/)
    }
  })

  test('takes overrides for what the file has and for what it has not', async () => {
    const { configuration } = await load(sound, {
      HOLDFAST_CLUSTERS_MAIN_DATA_DIRECTORY: '/data',
      HOLDFAST_CLUSTERS_MAIN_REPOS: 'local, second',
      HOLDFAST_CLUSTERS_OTHER_ONE_CONNECTION: 'host=other',
      HOLDFAST_REPOS_SECOND_LOCATION: 'posix:/second',
      HOLDFAST_REPOS_SECOND_ENCRYPTION: 'none',
      HOLDFAST_BACKUP_FAST_CHECKPOINT: 'false',
      HOLDFAST_BACKUP_WORKERS: '',
      HOLDFAST_RESTORE_WORKERS: '7',
    })

    assert.deepEqual(Object.keys(configuration.clusters), ['main', 'other-one'])
    assert.deepEqual(Object.values(configuration.clusters)[0], {
      connection: 'host=/run/postgresql user=postgres',
      dataDirectory: '/data',
      repos: ['local', 'second'],
      logicalOnly: false,
      links: 'error',
    })
    assert.equal(configuration.backup.fastCheckpoint, false)
    assert.equal(configuration.backup.workers, 4)
    assert.equal(configuration.restore.workers, 7)
  })

  test('finds the cluster that a variable means when its name has an underscore', async () => {
    const { configuration } = await load(sound.replace('main:', 'main_db:'), {
      HOLDFAST_CLUSTERS_MAIN_DB_RUN_AS: 'someone',
    })

    assert.equal(Object.values(configuration.clusters)[0]?.runAs, 'someone')
  })

  test('refuses two names that would share their variables', async () => {
    const { message } = await refusal(sound.replace('  main:', '  a-b:\n    connection: host=x\n  a_b:'))

    assert.equal(
      message,
      'FILE:4:3 clusters.a_b: expected names that differ in more than "-" and "_", found "a-b" and "a_b"',
    )
  })

  test('refuses variables that set nothing or set it wrongly', async () => {
    const unknown = await refusal(sound, { HOLDFAST_BACKUP_WORKER: '3' })
    const wrong = await refusal(sound, { HOLDFAST_BACKUP_WORKERS: 'many' })

    assert.equal(
      unknown.message,
      'environment variable HOLDFAST_BACKUP_WORKER: expected the name of a setting, found none of that name (Did you mean HOLDFAST_BACKUP_WORKERS?)',
    )
    assert.equal(
      wrong.message,
      'environment variable HOLDFAST_BACKUP_WORKERS backup.workers: expected a whole number from 1 to 64, found "many"',
    )
  })

  test('needs no file when the environment says enough', async () => {
    const { file, configuration } = await loadConfiguration({
      environment: { HOLDFAST_CLUSTERS_MAIN_CONNECTION: 'host=db' },
      home: undefined,
      systemFile: '/nonexistent/holdfast.yaml',
    })

    assert.equal(file, undefined)
    assert.deepEqual(Object.values(configuration.clusters), [
      { connection: 'host=db', logicalOnly: false, links: 'error' },
    ])
  })

  test('names the places when there is nothing at all', async () => {
    const request = { environment: {}, home: '/nonexistent/home', systemFile: '/nonexistent/holdfast.yaml' }

    await assert.rejects(loadConfiguration(request), {
      code: 'config-missing',
      message:
        'reading the configuration: no file at "/nonexistent/holdfast.yaml" and "/nonexistent/home/.config/holdfast/holdfast.yaml"',
    })
  })

  test('takes the named file only, and says so when there is none', async () => {
    const request = { environment: { HOLDFAST_CONFIG: '/nonexistent/a.yaml' }, home: undefined }

    await assert.rejects(loadConfiguration(request), {
      code: 'config-missing',
      message: 'reading the configuration: there is no file "/nonexistent/a.yaml"',
    })
  })

  test('refuses a file that others may write, or read when it names secrets (RULES 4.2, I5)', async () => {
    const plain = 'clusters:\n  main:\n    connection: host=db\n'

    assert.match((await refusal(plain, {}, 0o602)).message, /only its owner may write, found mode 0602/)
    assert.match((await refusal(plain, {}, 0o660)).message, /only its owner may write, found mode 0660/)
    assert.match((await refusal(sound, {}, 0o644)).message, /mode 0640 or less.*found mode 0644/)
    await load(plain, {}, 0o644)
    await load(sound, {}, 0o640)
  })

  test('refuses what is not a small text file', async () => {
    assert.match((await refusal('#'.repeat(2 * 1024 * 1024))).message, /at most 1048576 bytes/)
    assert.match((await refusal(Buffer.from([0x61, 0xff, 0xfe]))).message, /expected UTF-8 text/)
    await assert.rejects(loadConfiguration({ explicitFile: '/', environment: {}, home: undefined }), {
      code: 'config-invalid',
      message: 'reading the configuration "/": expected a regular file, found something else',
    })
  })

  test('refuses aliases that expand without end', async () => {
    const bomb = `a: &a [x, x]\nb: &b [${'*a, '.repeat(20)}]\nc: &c [${'*b, '.repeat(20)}]\nd: [${'*c, '.repeat(20)}]\n`

    assert.match(
      (await refusal(bomb)).message,
      /expected few or no aliases, found aliases that expand too far/,
    )
  })

  test('answers any text with a configuration or a refusal', async () => {
    const pieces = fc.constantFrom(
      'clusters',
      'main',
      ': ',
      '\n',
      '  ',
      '- ',
      '&a ',
      '*a',
      '"',
      "'",
      '[',
      '{',
      '__proto__',
      '? ',
      '!',
      '|',
      '1',
      '#',
      '\t',
      '<<',
    )
    await fc.assert(
      fc.asyncProperty(fc.array(pieces, { maxLength: 30 }), async (parts) => {
        await load(parts.join('')).catch((error: unknown) => {
          assert.ok(error instanceof OperationError)
        })
      }),
    )
  })

  test('answers the sound text with any byte changed with a configuration or a refusal', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(sound.length - 1), fc.integer({ min: 0, max: 255 }), async (offset, byte) => {
        const bytes = Buffer.from(sound)
        bytes[offset] = byte
        await load(bytes).catch((error: unknown) => {
          assert.ok(error instanceof OperationError)
        })
      }),
    )
  })
})

/** Loads a file with this text; the file's name reads `FILE` in what comes back. */
async function load(
  text: string | Uint8Array,
  environment: Environment = {},
  mode = 0o600,
): Promise<LoadedConfiguration> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-config-'))
  const file = join(folder, 'holdfast.yaml')
  try {
    await writeFile(file, text)
    await chmod(file, mode)
    const loaded = await loadConfiguration({ explicitFile: file, environment, home: undefined })
    const sources = loaded.sources.map((setting) =>
      setting.source.kind === 'file'
        ? Object.assign(setting, {
            source: { kind: 'file', place: setting.source.place.replace(file, 'FILE') },
          })
        : setting,
    )
    return { ...loaded, sources }
  } catch (error) {
    if (!(error instanceof OperationError)) throw error
    throw new OperationError(error.code, error.message.replaceAll(file, 'FILE'), {
      cause: error,
      hint: error.hint ?? '',
    })
  } finally {
    await rm(folder, { recursive: true })
  }
}

async function refusal(...request: Parameters<typeof load>): Promise<OperationError> {
  const outcome: unknown = await load(...request).catch((error: unknown) => error)
  assert.ok(outcome instanceof OperationError, 'it was not refused')
  return outcome
}
