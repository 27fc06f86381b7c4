import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { describe, test } from 'node:test'

const root = join(import.meta.dirname, '..')

const technology = ['domain', 'platform']
const capability = [...technology, 'codec', 'storage', 'wal', 'postgres', 'repository', 'archive']
const whole = [
  ...capability,
  'config',
  'backup',
  'restore',
  'verify',
  'retention',
  'history',
  'sandbox',
  'drill',
  'transfer',
  'logical',
]

/**
 * Which folders of `src` a folder may import from, besides itself. Technology folders do not know each other, and
 * capabilities do not know who started them. A new row is a decision: docs/decisions/ says why.
 */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  domain: [],
  platform: ['domain'],
  codec: technology,
  storage: technology,
  wal: technology,
  postgres: technology,
  config: technology,
  repository: [...technology, 'codec', 'storage'],
  archive: [...technology, 'codec', 'storage', 'wal', 'repository'],
  backup: capability,
  restore: capability,
  verify: capability,
  retention: capability,
  history: capability,
  transfer: [...capability, 'restore', 'retention'],
  sandbox: [...capability, 'restore'],
  drill: [...capability, 'restore', 'sandbox', 'logical'],
  logical: capability,
  app: [...whole, 'api'],
  api: ['domain'],
  cli: [...whole, 'app', 'api'],
}

/** Calls that have a home: elsewhere they would hide what a function depends on. */
const restricted: readonly { what: string; pattern: RegExp; homes: readonly string[] }[] = [
  {
    what: 'child processes',
    pattern: /from 'node:child_process'/,
    homes: ['src/platform/child-process.ts', 'src/platform/piped-process.ts'],
  },
  {
    what: 'the clock',
    pattern: /\bDate\.now\(|\bnew Date\(\)|\bperformance\.now\(|\bsetInterval\(|node:timers/,
    homes: ['src/platform/system-clock.ts'],
  },
  { what: 'the environment', pattern: /\bprocess\.env\b/, homes: ['src/platform/environment.ts'] },
  { what: 'the console', pattern: /\bconsole\.|\bprocess\.std(out|err)\b/, homes: ['src/cli/'] },
  {
    what: 'randomness',
    pattern:
      /\bMath\.random\(|\b(?:randomBytes|randomUUID|randomInt|randomFill\w*)\b[^}]*\} from 'node:crypto'/,
    homes: ['src/platform/random.ts'],
  },
  { what: 'worker threads', pattern: /from 'node:worker_threads'/, homes: ['src/platform/', '-worker.ts'] },
]

/** Suppressions of lint rules in src. The number only falls. */
const mostSuppressions = 40

const files = globSync('src/**/*.ts', { cwd: root }).toSorted()
const productFiles = files.filter((file) => !file.endsWith('.test.ts'))
const read = (file: string): string => readFileSync(join(root, file), 'utf8')
const folderOf = (file: string): string => file.split('/').slice(1, -1)[0] ?? 'main'

function importsOf(file: string): string[] {
  return [...read(file).matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)].map((match) =>
    relative(root, join(root, dirname(file), match[1] ?? '')),
  )
}

describe('the source tree', () => {
  test('has files at all', () => {
    assert.ok(productFiles.length > 0)
  })

  test('imports only along the dependency table', () => {
    const violations = productFiles.flatMap((file) => {
      const folder = folderOf(file)
      if (folder === 'main') return []
      const allowed = mayImport[folder]
      assert.ok(allowed, `${folder}/ has no row in the dependency table`)
      return importsOf(file)
        .filter((target) => folderOf(target) !== folder && !allowed.includes(folderOf(target)))
        .map((target) => `${file} imports ${target}`)
    })

    assert.deepEqual(violations, [])
  })

  test('makes restricted calls only in their homes', () => {
    const violations = productFiles.flatMap((file) =>
      restricted
        .filter(
          ({ pattern, homes }) =>
            pattern.test(read(file)) && !homes.some((home) => file.startsWith(home) || file.endsWith(home)),
        )
        .map(({ what }) => `${file} uses ${what}`),
    )

    assert.deepEqual(violations, [])
  })

  test('suppresses lint rules rarely and each with a reason', () => {
    const suppressions = productFiles.flatMap((file) =>
      [...read(file).matchAll(/(?:oxlint|eslint)-disable[^\n]*/g)].map((match) => `${file}: ${match[0]}`),
    )

    assert.deepEqual(
      suppressions.filter((line) => !line.includes(' -- ')),
      [],
    )
    assert.ok(suppressions.length <= mostSuppressions, `${suppressions.length} suppressions`)
  })
})

describe('the lockfile', () => {
  test('names a version for every package, so that npm ci accepts it', () => {
    const lock: unknown = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'))
    assert.ok(lock !== null && typeof lock === 'object' && 'packages' in lock)
    const packages = Object.entries(lock.packages as Record<string, { version?: string; link?: boolean }>)

    assert.deepEqual(
      packages.filter(([name, entry]) => name !== '' && entry.version === undefined && entry.link !== true),
      [],
    )
  })
})
