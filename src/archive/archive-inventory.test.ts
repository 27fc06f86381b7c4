import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import {
  buildSegment,
  createPlace,
  recordingContext,
  temporaryFolder,
} from '../../test/support/archive-fixture.ts'
import { FaultyStore } from '../../test/support/faulty-store.ts'
import { isOperationError, OperationError } from '../domain/operation-error.ts'
import { toLsn } from '../domain/lsn.ts'
import type { TimelineHistory } from '../domain/timeline-history.ts'
import { toTimelineId } from '../domain/timeline.ts'
import { isWalSegmentName, segmentNameOf } from '../domain/wal-segment.ts'
import { systemClock } from '../platform/system-clock.ts'
import { MemoryStore } from '../storage/memory/memory-store.ts'
import { findNewestTimeline, readArchiveInventory, surveyArchive } from './archive-inventory.ts'
import type { ArchivePlace } from './archive-place.ts'
import { getFile } from './get-file.ts'
import { pushFile } from './push-file.ts'
import { SegmentRuns } from './segment-runs.ts'
import { readTimelineHistory } from './timeline-histories.ts'
import { waitForWal } from './wait-for-wal.ts'

const third = '000000010000000000000003'

describe('readArchiveInventory', () => {
  test('tells ranges and gaps of every timeline, in hexadecimal names beyond timeline 9 (R28, R29)', async () => {
    const place = await createPlace()
    await archive(place, { '0000000A.history': '1\t0/500000\treason\n' })
    for (const number of [1n, 2n, 4n]) await archiveSegment(place, 1, number)
    for (const number of [5n, 6n]) await archiveSegment(place, 10, number)

    const { timelines, newestTimeline, hasSegment } = await readArchiveInventory(place, recordingContext())

    assert.deepEqual(
      timelines.map(({ timeline, ranges, gaps }) => [
        timeline,
        ranges.length,
        gaps.map(({ first }) => first),
      ]),
      [
        [1, 2, [third]],
        [10, 1, []],
      ],
    )
    assert.equal(newestTimeline, 10)
    assert.ok(isWalSegmentName(third))
    assert.equal(hasSegment(third), false)
    assert.equal(hasSegment(segmentNameOf(toTimelineId(10), 6n, place.cluster.walSegmentSize)), true)
  })

  test('shows histories with different contents as a conflict and does not choose (R26)', async () => {
    const place = await createPlace()
    await archive(place, { '00000002.history': '1\t0/500000\tone\n' })
    await archive(place, { '00000002.history': '1\t0/600000\tother\n' })

    const { conflicts, histories } = await readArchiveInventory(place, recordingContext())

    assert.deepEqual(
      conflicts.map(({ name }) => name.name),
      ['00000002.history'],
    )
    assert.equal(histories.size, 0)
    await assert.rejects(readTimelineHistory(place, toTimelineId(2), recordingContext()), (error) =>
      isOperationError(error, 'target-ambiguous'),
    )
  })

  test('throws for a damaged history, which surveyArchive keeps by its timeline (R37)', async () => {
    const store = new FaultyStore(new MemoryStore('x', systemClock))
    const place = await createPlace({ store })
    await archive(place, { '00000002.history': '1\t0/500000\treason\n' })
    await archive(place, { '00000003.history': '1\t0/600000\treason\n' })
    await archive(place, { '00000004.history': '1\t0/500000\tone\n' })
    await archive(place, { '00000004.history': '1\t0/600000\tother\n' })
    const flip = {
      kind: 'flip-bit',
      bitIndex: 300,
      at: { operation: 'get', subject: '00000002.history' },
    } as const
    store.plan(flip)

    const { histories, unreadableHistories } = await surveyArchive(place, recordingContext())

    assert.deepEqual([...histories.keys()], [3])
    assert.deepEqual(
      [...unreadableHistories].map(([timeline, { code }]) => [timeline, code]),
      [
        [2, 'damaged'],
        [4, 'target-ambiguous'],
      ],
    )
    store.plan(flip)
    await assert.rejects(readArchiveInventory(place, recordingContext()), (error) =>
      isOperationError(error, 'damaged'),
    )
  })

  test('does not take a history that cannot be fetched for a damaged one (R39)', async () => {
    const store = new FaultyStore(new MemoryStore('x', systemClock))
    const place = await createPlace({ store })
    await archive(place, { '00000002.history': '1\t0/500000\treason\n' })
    store.plan({ kind: 'fail', when: 'before', error: unreachable(), at: { operation: 'get' } })

    await assert.rejects(surveyArchive(place, recordingContext()), isUnreachable)
  })

  test('throws when the listing fails, and never shows less (R39)', async () => {
    const store = new FaultyStore(new MemoryStore('x', systemClock))
    const place = await createPlace({ store })
    store.plan({ kind: 'fail', when: 'before', error: unreachable(), at: { operation: 'list' } })

    await assert.rejects(readArchiveInventory(place, recordingContext()), isUnreachable)
  })
})

describe('findNewestTimeline', () => {
  test('follows the branches that grew out of the timeline, and no others (R37)', () => {
    const histories = new Map(
      [
        { timeline: toTimelineId(2), ancestors: [ancestor(1)] },
        { timeline: toTimelineId(3), ancestors: [ancestor(1)] },
        { timeline: toTimelineId(4), ancestors: [ancestor(1), ancestor(2)] },
      ].map((history) => [history.timeline, history]),
    )

    assert.equal(findNewestTimeline({ histories }, toTimelineId(1)), 4)
    assert.equal(findNewestTimeline({ histories }, toTimelineId(3)), 3)
  })
})

describe('SegmentRuns', () => {
  test('holds what was added and nothing else', () => {
    const runs = new SegmentRuns()
    for (const number of [1n, 2n, 2n, 5n]) runs.add(number)

    assert.deepEqual([...runs.numbers()], [1n, 2n, 5n])
    assert.deepEqual(
      [0n, 1n, 2n, 3n, 5n, 6n].map((number) => runs.has(number)),
      [false, true, true, false, true, false],
    )
  })
})

describe('getFile', () => {
  test('takes the intact copy of another repository (M4)', async () => {
    await using folder = await temporaryFolder()
    const store = new FaultyStore(new MemoryStore('x', systemClock))
    const [bad, good] = [await createPlace({ store }), await createPlace()]
    for (const place of [bad, good]) await archiveSegment(place, 1, 3n)
    store.plan({ kind: 'flip-bit', bitIndex: 3000, at: { operation: 'get', subject: '/wal/' } })

    const destination = join(folder.path, 'x')
    const answer = await getFile(
      { name: third, destination },
      { repositories: [bad, good] },
      recordingContext(),
    )

    assert.equal(answer.kind, 'found')
  })

  test('does not say "absent" when one of two repositories cannot be asked (R39)', async () => {
    await using folder = await temporaryFolder()
    const store = new FaultyStore(new MemoryStore('x', systemClock))
    const [bad, good] = [await createPlace({ store }), await createPlace()]
    const error = new OperationError('path-unsafe', 'not ours')
    store.plan({ kind: 'fail', when: 'before', error, at: { operation: 'list' } })

    const request = { name: third, destination: join(folder.path, 'x') }
    const answer = getFile(request, { repositories: [good, bad] }, recordingContext())

    await assert.rejects(answer, (thrown) => isOperationError(thrown, 'path-unsafe'))
  })

  test('tries a repository again that fails for a moment (R39)', async () => {
    await using folder = await temporaryFolder()
    const store = new FaultyStore(new MemoryStore('x', systemClock))
    const place = await createPlace({ store })
    store.plan({ kind: 'fail', when: 'before', error: unreachable(), at: { operation: 'list', call: 1 } })
    const clock = { ...systemClock, sleep: () => Promise.resolve() }

    const request = { name: third, destination: join(folder.path, 'x') }
    const answer = await getFile(request, { repositories: [place] }, { ...recordingContext(), clock })

    assert.equal(answer.kind, 'absent')
  })
})

describe('waitForWal', () => {
  test('resolves when every segment of the range is archived, the stop segment by its last byte (R18, M13)', async () => {
    const place = await createPlace()
    for (const number of [1n, 2n]) await archiveSegment(place, 1, number)
    const range = { fromLsn: toLsn(0x180000n), toLsn: toLsn(0x300000n) }

    await waitForWal(
      { timeline: toTimelineId(1), ...range, timeoutMs: 0 },
      { repositories: [place] },
      recordingContext(),
    )
  })

  test('names the missing segment and what the server says when the time is up (R18)', async () => {
    const place = await createPlace()
    await archiveSegment(place, 1, 2n)
    const range = { fromLsn: toLsn(0x280000n), toLsn: toLsn(0x300001n) }

    await assert.rejects(
      waitForWal(
        { timeline: toTimelineId(1), ...range, timeoutMs: 0, askServer },
        { repositories: [place] },
        recordingContext(),
      ),
      { code: 'archive-timeout', message: new RegExp(`expected ${third} .*3 files wait`) },
    )
  })

  test('waits for the history of a later timeline too (R18)', async () => {
    const place = await createPlace()
    await archiveSegment(place, 2, 3n)
    const range = { fromLsn: toLsn(0x300000n), toLsn: toLsn(0x300001n) }

    await assert.rejects(
      waitForWal(
        { timeline: toTimelineId(2), ...range, timeoutMs: 0 },
        { repositories: [place] },
        recordingContext(),
      ),
      { code: 'archive-timeout', message: /00000002\.history/ },
    )
  })

  test('throws for a segment that cannot be read back (R18)', async () => {
    const store = new FaultyStore(new MemoryStore('x', systemClock))
    const place = await createPlace({ store })
    await archiveSegment(place, 1, 3n)
    store.plan({ kind: 'flip-bit', bitIndex: 3000, at: { operation: 'get', subject: '/wal/' } })
    const range = { fromLsn: toLsn(0x300000n), toLsn: toLsn(0x300001n) }

    await assert.rejects(
      waitForWal(
        { timeline: toTimelineId(1), ...range, timeoutMs: 0 },
        { repositories: [place] },
        recordingContext(),
      ),
      { code: 'damaged' },
    )
  })
})

async function archive(
  place: ArchivePlace,
  files: Readonly<Record<string, string | Uint8Array>>,
): Promise<void> {
  await using folder = await temporaryFolder()
  for (const [name, content] of Object.entries(files)) {
    await writeFile(join(folder.path, name), content)
    await pushFile({ path: join(folder.path, name) }, { repositories: [place] }, recordingContext())
  }
}

async function archiveSegment(place: ArchivePlace, timeline: number, number: bigint): Promise<void> {
  const name = segmentNameOf(toTimelineId(timeline), number, place.cluster.walSegmentSize)
  await archive(place, { [name]: buildSegment(name) })
}

const askServer = (): Promise<string> => Promise.resolve('3 files wait')
const ancestor = (timeline: number): TimelineHistory['ancestors'][number] => ({
  timeline: toTimelineId(timeline),
  endLsn: toLsn(1n),
  reason: '',
})
const unreachable = (): OperationError => new OperationError('store-unreachable', 'no route')
const isUnreachable = (error: unknown): boolean => isOperationError(error, 'store-unreachable')
