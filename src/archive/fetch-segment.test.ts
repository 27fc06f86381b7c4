import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import {
  buildSegment,
  createPlace,
  recordingContext,
  temporaryFolder,
} from '../../test/support/archive-fixture.ts'
import { packPayload } from '../codec/compression.ts'
import { createObjectSealer } from '../codec/sealed-object.ts'
import { parseArchiveFileName } from '../domain/archive-file-name.ts'
import { isOperationError } from '../domain/operation-error.ts'
import { toTimelineId } from '../domain/timeline.ts'
import { systemClock } from '../platform/system-clock.ts'
import { MemoryStore } from '../storage/memory/memory-store.ts'
import type { ArchivePlace } from './archive-place.ts'
import { ContentDigest } from './content-digest.ts'
import { fetchSegment } from './fetch-segment.ts'
import { getFile } from './get-file.ts'
import { pushFile } from './push-file.ts'
import { readTimelineHistory } from './timeline-histories.ts'
import { encodeWalObjectHead } from './wal-object-head.ts'
import { walObjectKey } from './wal-object-key.ts'

const third = '000000010000000000000003'
const history = '00000002.history'

describe('fetchSegment', () => {
  for (const pieces of [[0], [40], [100, 5], [8191]]) {
    test(`calls an object whose content begins with pieces of ${pieces.join(' and ')} bytes damaged (X8)`, async () => {
      const place = await createPlace()
      await storeInPieces(place, pieces)

      await assert.rejects(fetchSegment({ name: third }, place, recordingContext()), (error) =>
        isOperationError(error, 'damaged'),
      )
    })
  }
})

describe('getFile, of a name that has several contents,', () => {
  for (const at of [40, 0.5, 1] as const) {
    test(`hands out the only good one, and warns: the other is changed ${at === 40 ? 'at its beginning' : `at ${at} of its length`} (X3)`, async () => {
      const { place, store } = await createArchive()
      await archive(place, third, buildSegment(third, { fill: 1 }))
      await archive(place, third, buildSegment(third, { fill: 2 }))
      const [damaged, good] = await keysOf(store, third)
      await spoil(store, damaged, at)

      const { bytes, warnings } = await get(place, third)

      const expected = [1, 2].map((fill) => buildSegment(third, { fill }))
      assert.equal(expected.filter((content) => content.equals(bytes)).length, 1)
      assert.match(warnings.join('\n'), new RegExp(damaged))
      assert.doesNotMatch(warnings.join('\n'), new RegExp(good ?? 'none'))
    })
  }

  test('hands out the only good one of a segment in parts, of which the other lacks one (X3)', async () => {
    const { place, store } = await createArchive(64)
    const [one, other] = [1, 2].map((fill) => buildSegment(third, { segmentMiB: 64, fill }))
    assert.ok(one && other)
    await archive(place, third, one)
    const [key] = await keysOf(store, third)
    await archive(place, third, other)
    await store.delete([key.replace(/\.00$/, '.02')])

    assert.ok((await get(place, third)).bytes.equals(other))
  })

  test('knows no answer when all of them are damaged (X3)', async () => {
    const { place, store } = await createArchive()
    for (const fill of [1, 2]) await archive(place, third, buildSegment(third, { fill }))
    for (const key of await keysOf(store, third)) await spoil(store, key, 0.5)

    await assert.rejects(get(place, third), (error) => isOperationError(error, 'damaged'))
  })

  test('does not choose between two good ones, with a damaged third (X3)', async () => {
    const { place, store } = await createArchive()
    for (const fill of [1, 2, 3]) await archive(place, third, buildSegment(third, { fill }))
    const [damaged] = await keysOf(store, third)
    await spoil(store, damaged, 0.5)

    await assert.rejects(get(place, third), (error) => isOperationError(error, 'target-ambiguous'))
  })

  test('hands out the only good history, by which segments of its timeline are checked (X3)', async () => {
    const { place, store } = await createArchive()
    const contents = ['1\t0/400000\tone\n', '1\t0/400000\tanother\n']
    for (const content of contents) await archive(place, history, content)
    const [damaged] = await keysOf(store, history)
    await spoil(store, damaged, 0.5)

    const { bytes, warnings } = await get(place, history)
    const read = await readTimelineHistory(place, toTimelineId(2), recordingContext())

    assert.ok(contents.includes(bytes.toString()))
    assert.match(warnings.join('\n'), new RegExp(damaged))
    assert.equal(read?.ancestors.length, 1)
  })
})

async function createArchive(segmentMiB = 1): Promise<{ place: ArchivePlace; store: MemoryStore }> {
  const store = new MemoryStore('archive', systemClock)
  return { store, place: await createPlace({ store, segmentMiB }) }
}

async function archive(place: ArchivePlace, name: string, content: string | Uint8Array): Promise<void> {
  await using folder = await temporaryFolder()
  const path = join(folder.path, name)
  await writeFile(path, content)
  await pushFile({ path }, { repositories: [place] }, recordingContext())
}

async function get(place: ArchivePlace, name: string): Promise<{ bytes: Buffer; warnings: string[] }> {
  await using folder = await temporaryFolder()
  const destination = join(folder.path, 'RECOVERYXLOG')
  const context = recordingContext()
  const answer = await getFile({ name, destination }, { repositories: [place] }, context)
  assert.equal(answer.kind, 'found')
  const warnings = context.events.flatMap((event) => (event.kind === 'warning' ? [event.message] : []))
  return { bytes: await readFile(destination), warnings }
}

async function keysOf(store: MemoryStore, name: string): Promise<[string, ...string[]]> {
  const keys: string[] = []
  for await (const { key } of store.list('')) if (/\.00$|history-/.test(key)) keys.push(key)
  const [first, ...others] = keys.filter((key) => key.includes(name))
  assert.ok(first !== undefined)
  return [first, ...others]
}

/** Changes a byte: at an offset, or at a part of the length. */
async function spoil(store: MemoryStore, key: string, at: number): Promise<void> {
  const bytes = Buffer.from((await store.get(key)) ?? assert.fail())
  const offset = at > 1 ? at : Math.trunc((bytes.length - 1) * at)
  bytes.writeUInt8(bytes.readUInt8(offset) ^ 1, offset)
  await store.delete([key])
  await store.putIfAbsent(key, bytes)
}

/** A well-sealed object whose frames are cut where no writer cuts them. */
async function storeInPieces(
  { repository, cluster }: ArchivePlace,
  lengths: readonly number[],
): Promise<void> {
  const content = buildSegment(third)
  const digest = new ContentDigest(repository.keys.namesKey, third)
  digest.update(content)
  const object = { name: parseArchiveFileName(third), digest: digest.finish(), part: 0 }
  const key = walObjectKey(cluster.id, object)
  const sealer = createObjectSealer({ keys: repository.keys.sealing, kind: 'wal-part', key })
  const head = encodeWalObjectHead({ contentBytes: content.length, parts: [] })
  const sealed = [sealer.header, ...sealer.sealFrame(packPayload(head, 0), false)]
  let offset = 0
  for (const length of lengths) {
    sealed.push(...sealer.sealFrame(packPayload(content.subarray(offset, offset + length), 0), false))
    offset += length
  }
  sealed.push(...sealer.sealFrame(packPayload(content.subarray(offset), 0), true))
  await repository.store.putIfAbsent(key, Buffer.concat(sealed))
}
