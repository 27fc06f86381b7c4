import assert from 'node:assert/strict'
import { posix } from 'node:path'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { fromBytePath } from '../platform/byte-path.ts'
import { isOperationError } from '../domain/operation-error.ts'
import type { ManifestEntry } from '../repository/manifest-entry.ts'
import { EntryChecker } from './check-entry.ts'

describe('EntryChecker', () => {
  test('accepts every path that a backup can have read', () => {
    const path = Array.from({ length: 20 }, () => 'd'.repeat(190)).join('/')
    const parents = path.split('/').map((_, index, names) => names.slice(0, index + 1).join('/'))
    const checker = new EntryChecker(new Set([0]))

    checker.check(directory(''))
    for (const parent of parents) assert.equal(checker.check(directory(parent)), parent)
  })

  test('accepts files and directories below directories, whatever their names', () => {
    const checker = new EntryChecker(new Set([0, 16_400]))

    for (const path of ['', 'base', 'base/1', "base/1/it's\n100%\\ \u{1}"])
      checker.check(path.includes('%') ? file(path) : directory(path))
    for (const path of ['', 'PG_17_202406281']) checker.check(directory(path, 16_400))
    const path = 'PG_17_202406281/..data'
    assert.equal(checker.check(file(path, 16_400)), path)
  })

  test('refuses whatever could lead out of its root (RULES 4.4)', () => {
    for (const path of [
      '../x',
      '/etc/passwd',
      'a/../../x',
      './x',
      'a//x',
      'a/',
      'a\0b',
      '..',
      'x'.repeat(256),
    ]) {
      refuses([directory(''), directory('a'), file(path)])
    }
  })

  test('refuses an entry below a link or a file, or of a tablespace that the backup does not have', () => {
    refuses([directory(''), link('a'), file('a/x')])
    refuses([directory(''), file('a'), file('a/x')])
    refuses([directory(''), directory('', 99)])
    refuses([link('')])
  })

  test('refuses links where tablespaces are linked, and files of a recovery', () => {
    refuses([directory(''), directory('pg_tblspc'), link('pg_tblspc/16400')])
    refuses([directory(''), link('global')])
    for (const path of ['backup_label', 'tablespace_map', 'postmaster.pid']) {
      refuses([directory(''), file(path)])
    }
  })

  test('refuses whatever a server does not make in a tablespace (RULES 4.4)', () => {
    const top = directory('', 16_400)
    for (const path of ['authorized_keys', 'PG_17', 'PG_17_2024x', 'base']) refuses([top, file(path, 16_400)])
    refuses([top, directory('.config', 16_400)])
    refuses([top, link('PG_17_202406281', 16_400), file('PG_17_202406281/x', 16_400)])
  })

  test('refuses a path twice: a directory in the place of a link', () => {
    refuses([directory(''), link('a'), directory('a'), file('a/b')])
    refuses([directory(''), directory('b'), directory('a')])
  })

  test('lets nothing out of the root, whatever the entries are', () => {
    const name = fc.constantFrom('a', 'b', '..', '.', '', 'c\0', '...')
    const path = fc.array(name, { maxLength: 4 }).map((names) => names.join('/'))
    const kind = fc.constantFrom(directory, file, link)
    fc.assert(
      fc.property(fc.array(fc.tuple(kind, path)), (entries) => {
        const checker = new EntryChecker(new Set([0]))
        const links = new Set<string>()
        for (const [make, at] of [[directory, ''] as const, ...entries]) {
          let accepted: string
          try {
            accepted = checker.check(make(at))
          } catch (error) {
            assert.ok(isOperationError(error, 'path-unsafe'))
            continue
          }
          const reached = posix.resolve('/root', accepted)
          assert.ok(reached === '/root' || reached.startsWith('/root/'))
          assert.ok(![...links].some((known) => accepted.startsWith(`${known}/`)))
          if (make === link) links.add(accepted)
        }
      }),
    )
  })
})

function refuses(entries: readonly ManifestEntry[]): void {
  const checker = new EntryChecker(new Set([0]))
  assert.throws(
    () => {
      for (const entry of entries) checker.check(entry)
    },
    (error) => isOperationError(error, 'path-unsafe'),
  )
}

const common = (path: string, root: number): { root: number; path: Uint8Array; owner: number } => ({
  root,
  path: fromBytePath(path),
  owner: 0,
})

const directory = (path: string, root = 0): ManifestEntry => ({
  kind: 'directory',
  ...common(path, root),
  mode: 0o700,
})

const file = (path: string, root = 0): ManifestEntry => ({
  kind: 'file',
  ...common(path, root),
  mode: 0o600,
  sizeBytes: 0,
  modifiedAtMs: 0,
  damagedBlocks: [],
  extents: [],
})

const link = (path: string, root = 0): ManifestEntry => ({
  kind: 'link',
  ...common(path, root),
  target: fromBytePath('/etc'),
})
