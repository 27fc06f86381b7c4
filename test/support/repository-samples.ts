import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import { parseBackupLabel } from '../../src/domain/backup-label.ts'
import { parseLsn } from '../../src/domain/lsn.ts'
import { isOperationError } from '../../src/domain/operation-error.ts'
import { parseTargetTime } from '../../src/domain/target-time.ts'
import { toTimelineId } from '../../src/domain/timeline.ts'
import type { Extent, FileEntry, ManifestEntry } from '../../src/repository/manifest-entry.ts'
import type { ManifestHead } from '../../src/repository/manifest-head.ts'
import { compareEntries } from '../../src/repository/manifest-writer.ts'
import { hashCountOf, type Piece } from '../../src/repository/pack-index.ts'
import type { Repository } from '../../src/repository/open-repository.ts'

export const sampleLabel = parseBackupLabel('20260220-153000F')
export const olderLabel = parseBackupLabel('20260219-153000F')
export const sampleClusterId = '00000000000000aa'

/** How many packs, owners and tablespaces the sample head knows: entries may refer to these. */
export const samplePackCount = 5
const sampleTablespaceOid = 16_400

export function sampleHead(changes: Partial<ManifestHead> = {}): Omit<ManifestHead, 'parts'> {
  return {
    backup: {
      label: sampleLabel,
      type: 'full',
      major: 18,
      timeline: toTimelineId(1),
      startLsn: parseLsn('0/2000028'),
      stopLsn: parseLsn('FF/2000100'),
      startedAt: parseTargetTime('2026-02-20T15:30:00.000001Z'),
      stoppedAt: parseTargetTime('2026-02-20T15:31:00Z'),
      fileCount: 3,
      restoredBytes: 2 ** 52,
      storedBytes: 10,
      damagedPageCount: 0,
      revision: 1,
    },
    systemIdentifier: '7400000000000000001',
    hasDataChecksums: true,
    walSegmentSize: 16 * 1024 * 1024,
    serverVersion: '18.4',
    backupLabelFile: Uint8Array.from(Buffer.from('START WAL LOCATION: 0/2000028 (\xff)\n', 'latin1')),
    tablespaceMap: new Uint8Array(),
    tablespaces: [
      { oid: sampleTablespaceOid, name: 'fast', location: '/srv/fast' },
      { oid: 16_401, name: 'in "place"\u{1f418}', location: undefined },
    ],
    owners: ['postgres:postgres', 'root:postgres'],
    packs: Array.from({ length: samplePackCount }, (_, index) => ({
      label: index < 2 ? olderLabel : sampleLabel,
      number: index + 1,
      sizeBytes: 16_000_000 + index,
      liveBytes: 8192 * index,
      rawBytes: 8192 * index + index,
      indexTag: Uint8Array.from({ length: 16 }, (_byte, at) => 16 * index + at),
    })),
    ...changes,
  }
}

export const bytesOf = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text))

/** A file of one unit extent, or of none when it is empty. */
export function sampleFile(path: string, changes: Partial<FileEntry> = {}): FileEntry {
  const sizeBytes = changes.sizeBytes ?? 8192
  const source = { kind: 'unit', pack: 0, unit: 0, offset: 0 } as const
  return {
    kind: 'file',
    root: 0,
    path: bytesOf(path),
    owner: 0,
    mode: 0o600,
    sizeBytes,
    modifiedAtMs: 1_771_601_400_000,
    damagedBlocks: [],
    extents: sizeBytes === 0 ? [] : [{ length: sizeBytes, source }],
    ...changes,
  }
}

const anyByteOfAName = fc.integer({ min: 1, max: 255 }).filter((byte) => byte !== 0x2f)

/** A name is any bytes but the slash, the zero and the two names that mean a place. */
const anyName = fc
  .array(anyByteOfAName, { minLength: 1, maxLength: 12 })
  .map((bytes) => Uint8Array.from(bytes))
  .filter((name) => !['.', '..'].includes(Buffer.from(name).toString('latin1')))

/** Names of few letters make paths that share prefixes. */
const shortName = fc.constantFrom('a', 'aa', 'ab', 'b', '0', '16384').map(bytesOf)

const anyPath = fc
  .array(fc.oneof(shortName, anyName), { minLength: 1, maxLength: 5 })
  .map((names) =>
    Uint8Array.from(
      Buffer.concat(names.flatMap((name, index) => (index === 0 ? [name] : [bytesOf('/'), name]))),
    ),
  )

const anyLength = fc.oneof(fc.integer({ min: 1, max: 20 }), fc.constant(8192), fc.constant(1024 * 1024))

const anyExtent: fc.Arbitrary<Extent> = fc.oneof(
  fc.record({
    length: fc.oneof(anyLength, fc.constant(2 ** 40)),
    source: fc.constant({ kind: 'zeros' } as const),
  }),
  fc.record({
    length: anyLength,
    source: fc.record({
      kind: fc.constant('unit' as const),
      pack: fc.nat(samplePackCount - 1),
      unit: fc.oneof(fc.nat(200), fc.nat(2 ** 31 - 1)),
      offset: fc.constant(0),
    }),
  }),
)

const common = {
  root: fc.constantFrom(0, sampleTablespaceOid),
  path: anyPath,
  owner: fc.nat(1),
}

const anyFile = fc
  .record({
    ...common,
    mode: fc.nat(0o7777),
    modifiedAtMs: fc.nat(2 ** 31 - 1).map((seconds) => seconds * 1000 + 999),
    damagedBlocks: fc.uniqueArray(fc.nat(131_071), { maxLength: 4 }),
    extents: fc.array(anyExtent, { maxLength: 6 }),
  })
  .map((file): FileEntry => fileOf(file))

function fileOf(file: Omit<FileEntry, 'kind' | 'sizeBytes'>): FileEntry {
  return {
    kind: 'file',
    ...file,
    damagedBlocks: file.damagedBlocks.toSorted((one, other) => one - other),
    sizeBytes: file.extents.reduce((sum, { length }) => sum + length, 0),
  }
}

export const anyEntry: fc.Arbitrary<ManifestEntry> = fc.oneof(
  { weight: 3, arbitrary: anyFile },
  fc.record({ kind: fc.constant('directory' as const), ...common, mode: fc.nat(0o7777) }),
  fc.record({ kind: fc.constant('link' as const), ...common, target: fc.uint8Array({ minLength: 1 }) }),
)

/** Entries in the order of a manifest, each place once. */
export function inOrder(entries: readonly ManifestEntry[]): readonly ManifestEntry[] {
  const sorted = entries.toSorted(compareEntries)
  return sorted.filter((entry, index) => {
    const previous = sorted[index - 1]
    return previous === undefined || compareEntries(previous, entry) < 0
  })
}

/** Content of a unit and the pieces that it is made of. */
export interface SampleUnit {
  readonly raw: Uint8Array
  readonly pieces: readonly Piece[]
}

export const anyPiece: fc.Arbitrary<Piece> = fc
  .record({
    root: fc.constantFrom(0, sampleTablespaceOid, 2 ** 32 - 1),
    path: anyPath,
    offset: fc.nat(2 ** 20).map((block) => block * 8192),
    length: fc.oneof(fc.nat(20_000), fc.constantFrom(8191, 8192, 8193)),
    hashSeed: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  })
  .map((piece): Piece => pieceOf(piece))

function pieceOf({ hashSeed, ...place }: Omit<Piece, 'blockHashes'> & { hashSeed: bigint }): Piece {
  const hashOf = (index: number): bigint =>
    BigInt.asUintN(64, hashSeed + BigInt(index) * 0x9e37_79b9_7f4a_7c15n)
  const count = hashCountOf(place.length)
  return { ...place, blockHashes: BigUint64Array.from({ length: count }, (_, index) => hashOf(index)) }
}

export const anyUnit: fc.Arbitrary<SampleUnit> = fc
  .tuple(fc.array(anyPiece, { minLength: 1, maxLength: 4 }), fc.nat(255))
  .map(([pieces, fill]) => ({
    pieces,
    raw: new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0)).map(
      (_, index) => (index * 31 + fill) & 0xff,
    ),
  }))

/** How bytes may go wrong: a flipped bit, a cut, an inserted count that is far too large, a run of noise. */
export const anyMutation: fc.Arbitrary<(bytes: Uint8Array) => Uint8Array> = fc.oneof(
  fc.nat().map((bit) => (bytes: Uint8Array) => flipBit(bytes, bit % (bytes.length * 8 + 1))),
  fc.nat().map((at) => (bytes: Uint8Array) => bytes.slice(0, at % (bytes.length + 1))),
  fc.tuple(fc.nat(), fc.constantFrom(2 ** 20, 2 ** 31, 2 ** 50, 2 ** 53 - 1)).map(
    ([at, count]) =>
      (bytes: Uint8Array) =>
        splice(bytes, at, varintOf(count)),
  ),
  fc.tuple(fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 12 })).map(
    ([at, noise]) =>
      (bytes: Uint8Array) =>
        splice(bytes, at, noise),
  ),
)

export function flipBit(bytes: Uint8Array, bit: number): Uint8Array {
  return bytes.map((byte, index) => (index === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte))
}

/** Overwrites, or lengthens at the end. */
function splice(bytes: Uint8Array, at: number, inserted: Uint8Array): Uint8Array {
  const offset = at % (bytes.length + 1)
  return Uint8Array.from(
    Buffer.concat([bytes.subarray(0, offset), inserted, bytes.subarray(offset + inserted.length)]),
  )
}

function varintOf(value: number): Uint8Array {
  const bytes: number[] = []
  let rest = value
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128)
  return Uint8Array.from([...bytes, rest])
}

/** What reading bytes that are not as they were may end in. Anything else is a bug. */
const readingErrors = ['damaged', 'format-newer', 'key-missing'] as const

export function isReadingError(error: unknown): boolean {
  return readingErrors.some((code) => isOperationError(error, code))
}

/** Calls `read`; it may give a value or fail like a reader, and nothing else. */
export function readsOrRefuses(read: () => unknown): void {
  try {
    read()
  } catch (error) {
    assert.ok(isReadingError(error), error instanceof Error ? error.stack : String(error))
  }
}

/** Puts other bytes where an object is. */
export async function replaceObject(
  { store }: Pick<Repository, 'store'>,
  key: string,
  bytes: Uint8Array,
): Promise<void> {
  await store.delete([key])
  assert.equal(await store.putIfAbsent(key, bytes), 'created')
}

export async function collect<Value>(values: AsyncIterable<Value>): Promise<Value[]> {
  const collected: Value[] = []
  for await (const value of values) collected.push(value)
  return collected
}

/** Bytes as hexadecimal text, anywhere in a value: whether they are a Buffer's does not matter. */
export function comparable(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  if (Array.isArray(value)) return value.map(comparable)
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return value
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, comparable(member)]))
}

/** The same repository for somebody who can write to its store but has no key: what it writes is not sealed. */
export function withoutSealing(repository: Repository): Repository {
  const { repositoryId } = repository.keys.sealing
  const sealing = {
    repositoryId,
    method: 'none',
    epochs: new Map<number, Uint8Array>(),
    currentEpoch: 0,
  } as const
  return { ...repository, method: 'none', keys: { ...repository.keys, sealing } }
}
