import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import {
  createPlace,
  recordingContext,
  temporaryFolder,
  testSystemIdentifier,
} from '../../test/support/archive-fixture.ts'
import { FaultyStore } from '../../test/support/faulty-store.ts'
import { WalBuilder, mainData } from '../../test/support/wal-builder.ts'
import { isOperationError, OperationError } from '../domain/operation-error.ts'
import { toLsn, type Lsn } from '../domain/lsn.ts'
import { toTimelineId } from '../domain/timeline.ts'
import { segmentNameAt, toWalSegmentSize } from '../domain/wal-segment.ts'
import { systemClock } from '../platform/system-clock.ts'
import { walIndexPrefix, walPrefix } from '../repository/object-keys.ts'
import { MemoryStore } from '../storage/memory/memory-store.ts'
import type { ArchivePlace } from './archive-place.ts'
import { collectChanges, type ChangesRequest, type CollectedChanges } from './collect-changes.ts'
import { pushFile } from './push-file.ts'

const segmentSize = toWalSegmentSize(1024 * 1024)
const timeline = toTimelineId(1)
const history = { timeline, ancestors: [] }
const identity = { systemIdentifier: BigInt(testSystemIdentifier), segmentSize }

describe('collectChanges', () => {
  test('joins records that lie in two and in many segments, and reads what is not archived in pg_wal', async () => {
    const wal = new WalBuilder(identity)
    const from = wal.append(changing(1, 7))
    fillTo(wal, 2 * segmentSize - 100)
    const crossing = wal.append(changing(2, 9, 600))
    wal.append({ rmid: 21, body: mainData(Buffer.alloc(3_500_000, 1)) })
    const until = wal.append(changing(3, 1))
    wal.append(changing(4, 1))

    const { place, folder } = await stretch(wal, { archived: 2 })
    await using _ = folder
    const collected = await collect(place, { from, to: until, walFolder: folder.path })

    assert.ok(crossing < 2n * BigInt(segmentSize))
    assertProven(collected)
    assert.equal(collected.segmentCount, 5)
    assert.equal(collected.walBytes, Number(until - from))
    assert.deepEqual(blocksOf(collected), ['1/7', '2/9'])
  })

  test('tells nothing of records before the stretch', async () => {
    const wal = new WalBuilder(identity)
    wal.append(changing(1, 1))
    const from = wal.append(changing(1, 2))
    wal.switchSegment()
    const to = wal.append(changing(1, 3))

    const { place, folder } = await stretch(wal)
    await using _ = folder
    const collected = await collect(place, { from, to, walFolder: folder.path })

    assertProven(collected)
    assert.deepEqual(blocksOf(collected), ['1/2'])
  })

  test('gives up where the stretch does not begin or end with a record', async () => {
    const { place, folder, from, to } = await simpleStretch()
    await using _ = folder
    const walFolder = folder.path

    const early = await collect(place, { from: toLsn(from + 8n), to, walFolder })
    const late = await collect(place, { from, to: toLsn(to + 8n), walFolder })
    const reversed = await collect(place, { from: to, to: from, walFolder })

    assertUnproven(early, /000000010000000000000001 has no record that begins at 0\/1000/)
    assertUnproven(late, /000000010000000000000003 has no record that begins at/)
    assertUnproven(reversed, /the WAL ends at .*, before/)
  })

  test('reads a whole archived segment once: its index tells the same, and a damaged one is passed over', async () => {
    const wal = new WalBuilder(identity)
    const from = wal.append(changing(1, 1))
    wal.switchSegment()
    wal.append(changing(1, 2))
    fillTo(wal, 3 * segmentSize - 100)
    wal.append({ rmid: 21, body: mainData(Buffer.alloc(1_500_000, 1)) })
    const to = wal.append(changing(1, 3))
    const { place, folder } = await stretch(wal)
    await using _ = folder
    const request = { from, to, walFolder: folder.path }

    const pushed = await collect(place, request)
    await deleteAll(place, walIndexPrefix(place.cluster.id))
    const first = await collect(place, request)
    const again = await collect(place, request)
    const indexes = await spoilAll(place, walIndexPrefix(place.cluster.id))
    const damaged = await collect(place, request)

    assert.equal(indexes, 2)
    for (const collected of [pushed, first, again, damaged]) {
      assertProven(collected)
      assert.deepEqual(blocksOf(collected), ['1/1', '1/2'])
    }
    const indexedCounts = [pushed, first, again, damaged].map(
      (each) => each.kind === 'proven' && each.indexedCount,
    )
    assert.deepEqual(indexedCounts, [2, 0, 2, 0])
  })

  test('reads segments of 64 MiB, which are archived in parts and without an index', async () => {
    const large = toWalSegmentSize(64 * 1024 * 1024)
    const wal = new WalBuilder({ ...identity, segmentSize: large, startLsn: BigInt(large) })
    const from = wal.append(changing(1, 1))
    wal.append({ rmid: 21, body: mainData(Buffer.alloc(70_000_000, 1)) })
    wal.append(changing(1, 2))
    wal.append({ rmid: 21, body: mainData(Buffer.alloc(64_000_000, 2)) })
    const to = wal.append(changing(1, 3))
    const { place, folder } = await stretch(wal, { segmentMiB: 64, archived: 2 })
    await using _ = folder
    const request = { from, to, walFolder: folder.path }

    const first = await collect(place, request)
    const again = await collect(place, request)

    for (const collected of [first, again]) {
      assertProven(collected)
      assert.equal(collected.segmentCount, 3)
      assert.deepEqual(blocksOf(collected), ['1/1', '1/2'])
    }
    const indexedCounts = [first, again].map((each) => each.kind === 'proven' && each.indexedCount)
    assert.deepEqual(indexedCounts, [0, 1])
  })

  test('names a segment that is nowhere', async () => {
    const { place, folder, from, to, wal } = await simpleStretch({ without: 1 })
    await using _ = folder

    const collected = await collect(place, { from, to, walFolder: folder.path })

    assert.equal(wal.segments.length, 3)
    assertUnproven(collected, /segment 000000010000000000000002 is neither archived for cluster "main"/)
  })

  test('gives up at several contents of a segment, at damage, and passes on that the store fails', async () => {
    const store = new FaultyStore(new MemoryStore('archive', systemClock))
    const { place, folder, from, to, wal } = await simpleStretch({ store })
    await using _ = folder
    const request = { from, to, walFolder: folder.path }
    const [first] = wal.segments
    assert.ok(first)
    const other = Buffer.from(first.bytes)
    other.writeUInt8(1, segmentSize - 1)
    await archive(place, { startLsn: first.startLsn, bytes: other })

    const conflict = await collect(place, request)
    await spoilAll(place, walPrefix(place.cluster.id))
    const damage = await collect(place, request)
    store.plan({
      kind: 'fail',
      when: 'before',
      error: new OperationError('store-unreachable', 'gone'),
      at: { operation: 'list' },
    })

    assertUnproven(conflict, /expected one content, found 2/)
    assertUnproven(damage, /opening/)
    await assert.rejects(collect(place, request), (error) => isOperationError(error, 'store-unreachable'))
  })

  test('gives up at a segment that the medium cannot read, and goes on without an index that it cannot read', async () => {
    const store = new FaultyStore(new MemoryStore('archive', systemClock))
    const { place, folder, from, to } = await simpleStretch({ store })
    await using _ = folder
    const request = { from, to, walFolder: folder.path }
    const cause = Object.assign(new Error('input/output error'), { code: 'EIO' })
    const error = new OperationError('store-failed', 'reading: input/output error', { cause })

    store.plan({ kind: 'fail', when: 'before', error, at: { operation: 'get', subject: '/index/' } })
    const withoutIndexes = await collect(place, request)
    store.plan({ kind: 'fail', when: 'before', error, at: { operation: 'get', subject: '/wal/' } })
    const unread = await collect(place, request)

    assertProven(withoutIndexes)
    assertUnproven(unread, /input\/output error/)
  })

  test('gives up at a record that it does not know, and at wal_level=minimal', async () => {
    const unknown = new WalBuilder(identity)
    const from = unknown.append(changing(1, 1))
    unknown.append({ rmid: 200 })
    const to = unknown.append(changing(1, 1))
    const minimal = new WalBuilder(identity)
    minimal.append(changing(1, 1))
    minimal.append({ rmid: 0, info: 0x60, body: mainData(Buffer.alloc(28)) })
    const end = minimal.append(changing(1, 1))

    assertUnproven(await collectOf(unknown, { from, to }), /cannot read: an extension's resource manager/)
    assertUnproven(await collectOf(minimal, { from, to: end }), /wal_level was lowered to minimal/)
  })

  test('gives up where the links of the WAL are broken, or the WAL is of another server', async () => {
    const wal = new WalBuilder(identity)
    const from = wal.append(changing(1, 1))
    wal.switchSegment()
    const reset = new WalBuilder({ ...identity, startLsn: 2n * BigInt(segmentSize) })
    reset.append(changing(1, 1))
    const to = reset.append(changing(1, 1))
    const foreign = new WalBuilder({ ...identity, systemIdentifier: 5n })
    foreign.append(changing(1, 1))
    const end = foreign.append(changing(1, 1))

    assertUnproven(await collectOf(wal, { from, to }, reset), /expected .*: the server lost or reset its WAL/)
    assertUnproven(await collectOf(foreign, { from, to: end }), /system identifier 5/)
  })

  test('gives up when the timeline does not come out of the earlier backup', async () => {
    const { place, folder, from, to } = await simpleStretch()
    await using _ = folder

    const collected = await collectChanges(
      { history, from: { timeline: toTimelineId(2), lsn: from }, to, walFolder: folder.path },
      place,
      recordingContext(),
    )

    assertUnproven(collected, /timeline 1 does not pass through/)
  })
})

type Ends = Pick<ChangesRequest, 'to'> & { readonly from: Lsn }

function collect(
  place: ArchivePlace,
  { from, to, walFolder }: Ends & Pick<ChangesRequest, 'walFolder'>,
): Promise<CollectedChanges> {
  return collectChanges({ history, from: { timeline, lsn: from }, to, walFolder }, place, recordingContext())
}

/** All of it lies at the server only. */
async function collectOf(wal: WalBuilder, ends: Ends, ...others: WalBuilder[]): Promise<CollectedChanges> {
  const { place, folder } = await stretch(wal, { archived: 0 })
  await using _ = folder
  for (const other of others) {
    for (const { startLsn, bytes } of other.segments)
      await writeFile(join(folder.path, nameAt(place, startLsn)), bytes)
  }
  return await collect(place, { ...ends, walFolder: folder.path })
}

interface StretchShape {
  readonly segmentMiB?: number
  readonly store?: FaultyStore
  /** How many segments are archived; the others lie at the server. */
  readonly archived?: number
  /** The index of one that is nowhere. */
  readonly without?: number
}

async function stretch(
  wal: WalBuilder,
  { store, segmentMiB = 1, archived = wal.segments.length, without }: StretchShape = {},
): Promise<{ place: ArchivePlace; folder: Awaited<ReturnType<typeof temporaryFolder>> }> {
  const place = await createPlace({ segmentMiB, ...(store !== undefined && { store }) })
  const folder = await temporaryFolder()
  for (const [index, segment] of wal.segments.entries()) {
    if (index === without) continue
    if (index < archived) await archive(place, segment)
    else await writeFile(join(folder.path, nameAt(place, segment.startLsn)), segment.bytes)
  }
  return { place, folder }
}

async function simpleStretch(
  shape: StretchShape = {},
): Promise<Awaited<ReturnType<typeof stretch>> & Ends & { readonly wal: WalBuilder }> {
  const wal = new WalBuilder(identity)
  const from = wal.append(changing(1, 1))
  wal.switchSegment()
  wal.append(changing(1, 2))
  wal.switchSegment()
  wal.append(changing(1, 3))
  const to = wal.append(changing(1, 4))
  wal.append(changing(1, 5))
  return { ...(await stretch(wal, shape)), from, to, wal }
}

const nameAt = ({ cluster }: ArchivePlace, lsn: Lsn): string =>
  segmentNameAt(timeline, lsn, cluster.walSegmentSize)

async function archive(
  place: ArchivePlace,
  { startLsn, bytes }: { readonly startLsn: Lsn; readonly bytes: Uint8Array },
): Promise<void> {
  await using folder = await temporaryFolder()
  const path = join(folder.path, nameAt(place, startLsn))
  await writeFile(path, bytes)
  await pushFile({ path }, { repositories: [place] }, recordingContext())
}

async function deleteAll({ repository: { store } }: ArchivePlace, prefix: string): Promise<void> {
  for await (const { key } of store.list(prefix)) await store.delete([key])
}

/** All objects under a prefix; gives how many there are. */
async function spoilAll({ repository: { store } }: ArchivePlace, prefix: string): Promise<number> {
  let count = 0
  for await (const { key } of store.list(prefix)) {
    const bytes = Buffer.from((await store.get(key)) ?? assert.fail())
    bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1)
    await store.delete([key])
    await store.putIfAbsent(key, bytes)
    count += 1
  }
  return count
}

/** A record that names one block of a relation: registered without data (access/xlogrecord.h), then main data. */
function changing(
  relation: number,
  block: number,
  mainBytes = 10,
): { rmid: number; xid: number; body: Buffer } {
  const reference = Buffer.alloc(20)
  reference.writeUInt32LE(1663, 4)
  reference.writeUInt32LE(5, 8)
  reference.writeUInt32LE(relation, 12)
  reference.writeUInt32LE(block, 16)
  const data = Buffer.alloc(mainBytes, 1)
  const main = mainData(data)
  const heading = main.subarray(0, main.length - data.length)
  return { rmid: 11, xid: 700, body: Buffer.concat([reference, heading, data]) }
}

/** Up to an offset from the builder's start; what goes on there is not full of records of its own. */
function fillTo(wal: WalBuilder, end: number): void {
  for (;;) {
    const lsn = wal.append({ rmid: 21, body: mainData(Buffer.alloc(60, 1)) })
    if (Number(lsn) + 200 > end) return
  }
}

function blocksOf({ changes }: Extract<CollectedChanges, { kind: 'proven' }>): string[] {
  return [...changes.forks()]
    .flatMap(([{ relation }, fork]) => [...fork.blocks()].map((block) => `${relation}/${block}`))
    .toSorted()
}

function assertProven(
  collected: CollectedChanges,
): asserts collected is Extract<CollectedChanges, { kind: 'proven' }> {
  assert.equal(collected.kind, 'proven', collected.kind === 'unproven' ? collected.reason : '')
}

function assertUnproven(collected: CollectedChanges, reason: RegExp): void {
  assert.match(collected.kind === 'unproven' ? collected.reason : 'proven', reason)
}
