import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { lstat, readdir, readFile, realpath } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { BinaryWriter } from '../../src/codec/binary-writer.ts'
import type { OperationErrorCode } from '../../src/domain/operation-error.ts'
import type { FileEntry, ManifestEntry } from '../../src/repository/manifest-entry.ts'
import { directory, link } from '../corruption/synthetic-backup.ts'
import { hostileSite, type Hostility } from './hostile-site.ts'

const content = Buffer.from('written by an attacker\n')
const file = (path: string, root = 0): NonNullable<Hostility['files']>[number] => ({ root, path, content })
const emptyFile = (path: string, changes: Partial<FileEntry> = {}): ManifestEntry => ({
  kind: 'file',
  root: 0,
  path: Buffer.from(path, 'latin1'),
  owner: 0,
  mode: 0o600,
  sizeBytes: 0,
  modifiedAtMs: 0,
  damagedBlocks: [],
  extents: [],
  ...changes,
})
const tablespace = (location: string, oid = 16_400): NonNullable<Hostility['head']> => ({
  tablespaces: [{ oid, name: 'fast', location }],
})

/** Refused before anything is written, whoever sealed it (RULES 4.4). */
const refused: Readonly<Record<string, (victim: string) => [OperationErrorCode, Hostility]>> = {
  'a path that goes up': () => ['path-unsafe', { files: [file('../victim/precious')] }],
  'a path that goes down and up': () => ['path-unsafe', { files: [file('base/../../victim/new')] }],
  'an absolute path': (victim) => ['path-unsafe', { files: [file(`${victim}/new`)] }],
  'a path of dots': () => ['path-unsafe', { files: [file('./PG_VERSION')] }],
  'an empty name': () => ['path-unsafe', { files: [file('base//1')] }],
  'a slash at the end': () => ['path-unsafe', { files: [file('base/')] }],
  'a zero byte in a path': () => ['path-unsafe', { files: [file('base/1\0/../../../victim/new')] }],
  'a name too long for any file system': () => ['path-unsafe', { files: [file('x'.repeat(256))] }],
  'a file below a link': (victim) => [
    'path-unsafe',
    { entries: [link('out', victim)], files: [file('out/new')] },
  ],
  'a directory below a link': (victim) => [
    'path-unsafe',
    { entries: [link('out', victim), directory('out/new')] },
  ],
  'a link for a tablespace': (victim) => ['path-unsafe', { entries: [link('pg_tblspc/1', victim)] }],
  'a link in the place of the root': (victim) => [
    'path-unsafe',
    { distort: (all) => [link('', victim), ...all.slice(1)] },
  ],
  'a link in the place of global': (victim) => [
    'path-unsafe',
    { distort: (all) => all.map((entry) => (isAt(entry, 'global') ? link('global', victim) : entry)) },
  ],
  'a link and then a directory of its name': (victim) => [
    'damaged',
    { distort: (all) => [...all, link('z', victim), directory('z'), emptyFile('z/new')] },
  ],
  'a file twice': () => ['damaged', { distort: (all) => all.flatMap((entry) => [entry, entry]) }],
  'entries out of order': () => ['damaged', { distort: (all) => [...all, ...all.slice(1)] }],
  'a kind of file that is none': () => [
    'damaged',
    { distortBytes: (all) => Buffer.concat([all, Buffer.of(3)]) },
  ],
  'a size of 2^63 - 1': () => [
    'damaged',
    { distortBytes: (all) => Buffer.concat([all, entryOfSize(2n ** 63n - 1n)]) },
  ],
  'a negative size': () => [
    'damaged',
    { distortBytes: (all) => Buffer.concat([all, entryOfSize(2n ** 64n - 1n)]) },
  ],
  'a size beyond any disk': () => ['no-space', { entries: [hole('huge', 2 ** 53 - 1)] }],
  'sizes whose sum is beyond any disk': () => [
    'no-space',
    { entries: ['h1', 'h2', 'h3'].map((path) => hole(path, 2 ** 53 - 1)) },
  ],
  'extents that are not as long as the file': () => [
    'damaged',
    { entries: [emptyFile('huge', { sizeBytes: 5, extents: [{ length: 4, source: { kind: 'zeros' } }] })] },
  ],
  'a pack that is not there': () => ['damaged', { entries: [fromUnit('huge', { pack: 7 })] }],
  'a unit that is not there': () => ['damaged', { entries: [fromUnit('huge', { unit: 2 ** 31 })] }],
  'more of a unit than there is': () => [
    'damaged',
    { entries: [fromUnit('huge', { offset: 2 ** 20 - 8192 })] },
  ],
  'a unit larger than any': () => ['damaged', { entries: [fromUnit('huge', { offset: 2 ** 50 })] }],
  'an owner that is not there': () => ['damaged', { entries: [emptyFile('x', { owner: 99 })] }],
  '100,000 directories inside each other': () => ['path-unsafe', { entries: nested(100_000) }],
  'a postmaster.pid': () => ['path-unsafe', { files: [file('postmaster.pid')] }],
  'a backup_label of its own': () => ['path-unsafe', { files: [file('backup_label')] }],
  'a tablespace_map of its own': () => ['path-unsafe', { files: [file('tablespace_map')] }],
  'a backup_label that starts elsewhere': () => [
    'damaged',
    { head: { backupLabelFile: Buffer.from('START WAL LOCATION: FFFFFFFF/FFFFFFFF (file x)\n') } },
  ],
  'a backup_label that is none': () => ['damaged', { head: { backupLabelFile: new Uint8Array() } }],
  'a backup_label with two starts': () => [
    'damaged',
    {
      head: {
        backupLabelFile: Buffer.from(
          'START WAL LOCATION: F/28 (file x)\nSTART WAL LOCATION: 0/200028 (file x)\n',
        ),
      },
    },
  ],
  'no control file': () => [
    'damaged',
    { distort: (all) => all.filter((entry) => !isAt(entry, 'global/pg_control')) },
  ],
  'an entry of a tablespace that it does not have': () => [
    'path-unsafe',
    { entries: [directory('', 16_400)] },
  ],
  'a tablespace where somebody lives': (victim) => [
    'directory-occupied',
    { head: tablespace(victim), entries: [directory('', 16_400)] },
  ],
  'a tablespace in a relative place': () => ['path-unsafe', { head: tablespace('../victim') }],
  'a tablespace in a place that goes up': (victim) => ['path-unsafe', { head: tablespace(`${victim}/x/..`) }],
  'a tablespace with a line break in its place': () => [
    'path-unsafe',
    { head: tablespace('/nowhere/../x\n1 /etc') },
  ],
  'a tablespace in the data directory': (victim) => [
    'path-unsafe',
    { head: tablespace(victim.replace(/victim$/, 'target/base')) },
  ],
  'a tablespace for the data directory itself': (victim) => [
    'damaged',
    { head: tablespace(`${victim}/new`, 0) },
  ],
  'two tablespaces of one number': (victim) => [
    'damaged',
    {
      head: {
        tablespaces: ['a', 'b'].map((name) => ({ oid: 16_400, name, location: `${victim}-${name}` })),
      },
    },
  ],
  // In somebody's ".ssh", say, which need not be there yet: PostgreSQL has only its PG_... directory in a tablespace.
  'a file right in a tablespace': (victim) => [
    'path-unsafe',
    {
      head: tablespace(`${victim}/.ssh`),
      entries: [directory('', 16_400)],
      files: [file('authorized_keys', 16_400)],
    },
  ],
  'a directory in a tablespace that is not of PostgreSQL': (victim) => [
    'path-unsafe',
    { head: tablespace(`${victim}/.config`), entries: [directory('', 16_400), directory('systemd', 16_400)] },
  ],
}

for (const isSealed of [true, false]) {
  describe(`restore from a ${isSealed ? 'sealed' : 'plain'} repository refuses, and writes nothing for,`, () => {
    for (const [what, of] of Object.entries(refused)) {
      test(what, async () => {
        await using site = await hostileSite()
        const [code, hostility] = of(site.victim)

        const error = await site.restore({ isSealed, ...hostility })

        assert.equal(error?.code, code, error?.message ?? 'it was restored')
        assert.ok(!error.message.includes('\n'), error.message)
        assert.ok(!existsSync(join(site.target, 'global/pg_control')))
      })
    }
  })
}

describe('restore makes harmless', () => {
  test('modes that give rights to others or to programs', async () => {
    await using site = await hostileSite()
    const entries = [directory('open', 0, 0o7777), emptyFile('open/program', { mode: 0o7777 })]

    assert.equal((await site.restore({ entries }))?.message, undefined)

    assert.equal((await lstat(join(site.target, 'open'))).mode & 0o7777, 0o750)
    assert.equal((await lstat(join(site.target, 'open/program'))).mode & 0o7022, 0)
  })

  test('links that lead outside, by leaving them out and saying so', async () => {
    await using site = await hostileSite()
    const targets = ['/etc', '../victim', 'base/../../victim', '', '.', '..', 'base/..']
    const entries = targets.filter((to) => to !== '').map((to, index) => link(`link${index}`, to))

    assert.equal((await site.restore({ entries }))?.message, undefined)

    const names = await readdir(site.target)
    assert.deepEqual(
      names.filter((name) => name.startsWith('link')),
      [],
    )
    assert.equal(site.warnings.length, entries.length)
  })

  test('links that lead outside through other links', async () => {
    await using site = await hostileSite()
    const entries = [
      directory('a'),
      directory('a/b'),
      // "c" reaches a/b/up/../../../victim: by its words that is inside, by the links it is the victim.
      link('a/b/up', '..'),
      link('c', 'a/b/up/../../../victim'),
      link('pg_stat', 'a/b/up/../..'),
    ]

    assert.equal((await site.restore({ entries }))?.message, undefined)

    for (const entry of await readdir(site.target, { recursive: true, withFileTypes: true })) {
      if (!entry.isSymbolicLink()) continue
      const path = join(entry.parentPath, entry.name)
      const reached = await realpath(path).catch(() => site.target)
      assert.ok(
        reached === site.target || reached.startsWith(`${site.target}/`),
        `${path} leads to ${reached}`,
      )
    }
  })

  test('a link in the place of a file that the restore writes itself', async () => {
    await using site = await hostileSite()
    const entries = ['postgresql.auto.conf', 'recovery.signal', '.holdfast-restore'].map((path) =>
      link(path, 'PG_VERSION'),
    )

    assert.equal((await site.restore({ entries }))?.message, undefined)

    assert.equal(await readFile(join(site.target, 'PG_VERSION'), 'utf8'), '16\n')
    assert.ok((await lstat(join(site.target, 'postgresql.auto.conf'))).isFile())
  })

  test('files that would tell the server how to recover', async () => {
    await using site = await hostileSite()
    const files = ['recovery.signal', 'standby.signal', 'promote'].map((path) => file(path))

    assert.equal((await site.restore({ files }))?.message, undefined)

    assert.ok(!existsSync(join(site.target, 'standby.signal')))
    assert.ok(!existsSync(join(site.target, 'promote')))
    assert.equal((await lstat(join(site.target, 'recovery.signal'))).size, 0)
  })

  test('names of any bytes but a zero and a slash', async () => {
    await using site = await hostileSite()
    const names = ['line\nbreak', '\u00ff\u00fe', ' ', '-rf', "it's $(touch x) `y`", 'x'.repeat(255)]

    assert.equal((await site.restore({ files: names.map((name) => file(name)) }))?.message, undefined)

    const found = await readdir(site.target, { encoding: 'buffer' })
    for (const name of names)
      assert.ok(
        found.some((bytes) => bytes.equals(Buffer.from(name, 'latin1'))),
        name,
      )
  })

  test('a place of a tablespace that holds what tablespace_map takes for another line', async () => {
    await using site = await hostileSite()
    const location = join(site.target, '../elsewhere\n1663 /etc')
    const entries = [directory('', 16_400), directory('PG_16_202307071', 16_400)]
    const head = { ...tablespace(location), tablespaceMap: Buffer.from('16400 /x\n1663 /etc\n') }

    await assert.rejects(site.restore({ entries, head }), /something outside the target was changed/)

    const map = await readFile(join(site.target, 'tablespace_map'), 'utf8')
    assert.equal(map, `16400 ${location.replace('\n', '\\\n')}\n`)
  })
})

const isAt = ({ path }: ManifestEntry, where: string): boolean => Buffer.from(path).toString() === where

const hole = (path: string, sizeBytes: number): ManifestEntry =>
  emptyFile(path, { sizeBytes, extents: [{ length: sizeBytes, source: { kind: 'zeros' } }] })

function fromUnit(path: string, where: { pack?: number; unit?: number; offset?: number }): ManifestEntry {
  const source = { kind: 'unit', pack: 0, unit: 0, offset: 0, ...where } as const
  return emptyFile(path, { sizeBytes: 8192, extents: [{ length: 8192, source }] })
}

/** Each directory is in the one before it. */
function nested(depth: number): readonly ManifestEntry[] {
  const path = Buffer.from(Array.from({ length: depth }, () => 'a').join('/'))
  // Beyond what is refused there is no use in more bytes: the test would only prove its own memory.
  const depths = Math.min(depth, 3000)
  return Array.from({ length: depths }, (_, index) => directory(path.subarray(0, 2 * index + 1).toString()))
}

/** A file entry with a size that our numbers do not hold. */
function entryOfSize(size: bigint): Uint8Array {
  const writer = new BinaryWriter()
  writer.u8(2)
  for (const value of [0, 0, 2]) writer.varint(value)
  writer.bytes(Buffer.from('zz'))
  for (const value of [0, 0o600]) writer.varint(value)
  writer.bigVarint(size)
  for (const value of [0, 0, 0]) writer.varint(value)
  return writer.finish()
}
