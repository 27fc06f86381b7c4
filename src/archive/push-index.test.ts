import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import {
  buildSegment,
  createPlace,
  recordingContext,
  temporaryFolder,
  testSystemIdentifier,
} from '../../test/support/archive-fixture.ts'
import { FaultyStore } from '../../test/support/faulty-store.ts'
import { plainContents } from '../../test/support/plain-contents.ts'
import { mainData, WalBuilder } from '../../test/support/wal-builder.ts'
import { parseArchiveFileName } from '../domain/archive-file-name.ts'
import { OperationError } from '../domain/operation-error.ts'
import { toTimelineId } from '../domain/timeline.ts'
import { segmentNameAt, toWalSegmentSize } from '../domain/wal-segment.ts'
import { systemClock } from '../platform/system-clock.ts'
import { walIndexPrefix } from '../repository/object-keys.ts'
import { MemoryStore } from '../storage/memory/memory-store.ts'
import { scanSegment } from '../wal/scan-segment.ts'
import type { ArchivePlace } from './archive-place.ts'
import { listContents } from './archived-contents.ts'
import { pushAhead } from './push-ahead.ts'
import { pushFile } from './push-file.ts'
import { readWalIndex } from './stored-wal-index.ts'

const segmentSize = toWalSegmentSize(1024 * 1024)
const segments = buildWal()
const [first] = segments
assert.ok(first)

describe('a segment that is archived with an index', () => {
  test('gets it in every repository, under its digest there, and it tells what the segment holds', async () => {
    const places = [await createPlace(), await createPlace({ isSealed: false })]

    await push(first, places)

    for (const place of places) await assertIndexed(place, first)
  })

  test('is archived all the same when its index cannot be stored, with a warning', async () => {
    const store = new FaultyStore(new MemoryStore('archive', systemClock))
    const place = await createPlace({ store })
    const error = new OperationError('store-failed', 'no room for indexes')
    store.plan({ kind: 'fail', when: 'before', error, at: { operation: 'putIfAbsent', subject: '/index/' } })

    const { events } = await push(first, [place])

    assert.deepEqual(await indexKeys(place), [])
    assert.equal((await listContents(parseArchiveFileName(first.name), place, recordingContext())).length, 1)
    assert.deepEqual(
      events.map((event) => event.kind === 'warning' && event.message),
      [`the index of segment ${first.name} was not stored: no room for indexes`],
    )
  })

  test('has one that says where its records end, when they do not go to its end', async () => {
    const place = await createPlace()
    const bytes = buildSegment(first.name)

    await push({ ...first, bytes }, [place])

    await assertIndexed(place, { ...first, bytes })
  })

  test('is indexed also when few wait behind it, and left for the next backup in a backlog', async () => {
    const [few, many] = [await createPlace(), await createPlace()]

    await pushAllAhead(segments.slice(0, 4), few)
    await pushAllAhead(segments, many)

    for (const segment of segments.slice(1, 4)) await assertIndexed(few, segment)
    assert.equal((await indexKeys(few)).length, 3)
    assert.deepEqual(await indexKeys(many), [])
  })
})

/** All but the first, which PostgreSQL has asked for. */
async function pushAllAhead(waiting: readonly Segment[], place: ArchivePlace): Promise<void> {
  await using folder = await temporaryFolder()
  await mkdir(join(folder.path, 'archive_status'))
  for (const { name, bytes } of waiting) {
    await writeFile(join(folder.path, name), bytes)
    await writeFile(join(folder.path, 'archive_status', `${name}.ready`), '')
  }
  const asked = join(folder.path, waiting[0]?.name ?? '')
  const count = await pushAhead(asked, { repositories: [place] }, recordingContext())
  assert.equal(count, waiting.length - 1)
}

type Segment = (typeof segments)[number]

/** Eight segments, with records that cross their borders. */
function buildWal() {
  const wal = new WalBuilder({ systemIdentifier: BigInt(testSystemIdentifier), segmentSize })
  while (wal.segments.length < 9)
    wal.append({ rmid: 21, xid: 9, body: mainData(Buffer.alloc(30_000, 'wal')) })
  return wal.segments.slice(0, 8).map(({ startLsn, bytes }) => ({
    name: segmentNameAt(toTimelineId(1), startLsn, segmentSize),
    startLsn,
    bytes,
  }))
}

async function push(
  { name, bytes }: Pick<Segment, 'name' | 'bytes'>,
  repositories: readonly ArchivePlace[],
): Promise<ReturnType<typeof recordingContext>> {
  await using folder = await temporaryFolder()
  const path = join(folder.path, name)
  await writeFile(path, bytes)
  const context = recordingContext()
  await pushFile({ path }, { repositories }, context)
  return context
}

async function assertIndexed(
  place: ArchivePlace,
  { name: fileName, startLsn, bytes }: Segment,
): Promise<void> {
  const context = recordingContext()
  const name = parseArchiveFileName(fileName)
  const [digest = ''] = await listContents(name, place, context)
  const index = await readWalIndex({ name, digest }, place, context)
  assert.ok(index)
  assert.deepEqual(plainContents(index), plainContents(scanSegment(bytes, { startLsn })))
}

async function indexKeys({ repository, cluster }: ArchivePlace): Promise<readonly string[]> {
  const keys: string[] = []
  for await (const { key } of repository.store.list(walIndexPrefix(cluster.id))) keys.push(key)
  return keys
}
