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
import { systemClock } from '../platform/system-clock.ts'
import { walPrefix } from '../repository/object-keys.ts'
import { MemoryStore } from '../storage/memory/memory-store.ts'
import type { ArchivePlace } from './archive-place.ts'
import { fetchSegment } from './fetch-segment.ts'
import { pushFile } from './push-file.ts'

const third = '000000010000000000000003'

describe('pushFile, for large segments,', () => {
  test('stores a segment of 64 MiB in parts that come back byte for byte (R21)', async () => {
    await using folder = await temporaryFolder()
    const place = await createPlace({ segmentMiB: 64 })
    const content = buildSegment(third, { segmentMiB: 64 })

    await push(folder.path, third, { content, places: [place] })
    const again = await push(folder.path, third, { content, places: [place] })

    const keys = await walKeys(place)
    assert.deepEqual(
      keys.map((key) => key.slice(-3)),
      ['.00', '.01', '.02', '.03', '.04'],
    )
    assert.equal(again.existedCount, 1)
    const fetched = await fetchSegment({ name: third }, place, recordingContext())
    assert.ok(fetched.kind === 'found' && content.equals(fetched.bytes))
  })

  test('completes a file of parts whose ".00" was never written (R23)', async () => {
    await using folder = await temporaryFolder()
    const store = new FaultyStore(new MemoryStore('parts', systemClock))
    const place = await createPlace({ store, segmentMiB: 64 })
    const request = { content: buildSegment(third, { segmentMiB: 64 }), places: [place] }
    store.plan({
      kind: 'fail',
      when: 'before',
      error: unreachable(),
      at: { operation: 'putIfAbsent', call: 4 },
    })

    await assert.rejects(push(folder.path, third, request), isUnreachable)
    const before = await fetchSegment({ name: third }, place, recordingContext())
    await push(folder.path, third, request)
    const after = await fetchSegment({ name: third }, place, recordingContext())

    assert.equal(before.kind, 'absent')
    assert.ok(after.kind === 'found' && request.content.equals(after.bytes))
  })
})

interface Push {
  readonly content: Uint8Array
  readonly places: readonly ArchivePlace[]
  readonly context?: ReturnType<typeof recordingContext>
}

async function push(
  folder: string,
  name: string,
  { content, places, context = recordingContext() }: Push,
): ReturnType<typeof pushFile> {
  const path = join(folder, name)
  await writeFile(path, content)
  return pushFile({ path }, { repositories: places }, context)
}

async function walKeys({ repository, cluster }: ArchivePlace): Promise<string[]> {
  const keys: string[] = []
  for await (const { key } of repository.store.list(walPrefix(cluster.id))) keys.push(key)
  return keys
}

const unreachable = (): OperationError => new OperationError('store-unreachable', 'no route')
const isUnreachable = (error: unknown): boolean => isOperationError(error, 'store-unreachable')
