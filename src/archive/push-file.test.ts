import assert from 'node:assert/strict'
import { writeFile, symlink } from 'node:fs/promises'
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
import { MemoryStore } from '../storage/memory/memory-store.ts'
import type { ArchivePlace } from './archive-place.ts'
import { readArchiveInventory } from './archive-inventory.ts'
import { fetchSegment } from './fetch-segment.ts'
import { pushFile } from './push-file.ts'
import { walPrefix } from '../repository/object-keys.ts'

const third = '000000010000000000000003'

describe('pushFile', () => {
  test('stores a segment that comes back byte for byte (R22)', async () => {
    await using folder = await temporaryFolder()
    const place = await createPlace()
    const content = buildSegment(third)

    await push(folder.path, third, { content, places: [place] })

    const fetched = await fetchSegment({ name: third }, place, recordingContext())
    assert.ok(fetched.kind === 'found' && content.equals(fetched.bytes))
  })

  test('makes, with one reading, an object for each of several repositories (R21, R22)', async () => {
    await using folder = await temporaryFolder()
    const places = [await createPlace(), await createPlace(), await createPlace({ isSealed: false })]
    const content = buildSegment(third)

    await push(folder.path, third, { content, places })

    for (const place of places) {
      const fetched = await fetchSegment({ name: third }, place, recordingContext())
      assert.ok(fetched.kind === 'found' && content.equals(fetched.bytes))
    }
  })

  test('is content with as many repositories as are required, and says which are behind (N15)', async () => {
    await using folder = await temporaryFolder()
    const [one, two] = [await createPlace(), await createPlace()]
    const stores = [
      new FaultyStore(new MemoryStore('failing', systemClock)),
      new FaultyStore(new MemoryStore('stuck', systemClock)),
    ] as const
    const [failing, stuck] = [
      await createPlace({ store: stores[0] }),
      await createPlace({ store: stores[1] }),
    ]
    const at = { operation: 'putIfAbsent' } as const
    stores[0].plan({ kind: 'fail', at, when: 'before', error: unreachable() })
    stores[1].plan({ kind: 'delay', at, ms: 3_600_000, clock: systemClock })
    const clock = {
      ...systemClock,
      sleep: (ms: number, signal: AbortSignal) => systemClock.sleep(ms / 100, signal),
    }
    const context = { ...recordingContext(), clock }
    const request = { content: buildSegment(third), places: [failing, one, stuck, two], required: 2, context }

    const pushed = await push(folder.path, third, request)

    assert.deepEqual(pushed.behind, [failing, stuck])
    for (const place of [one, two]) assert.equal((await walKeys(place)).length, 1)
    await assert.rejects(push(folder.path, third, { ...request, places: [one, failing] }), isUnreachable)
  })

  test('is idempotent, also when twenty of them race (R23)', async () => {
    await using folder = await temporaryFolder()
    const place = await createPlace()
    const request = { content: buildSegment(third), places: [place] }

    const first = await push(folder.path, third, request)
    const others = await Promise.all(Array.from({ length: 20 }, () => push(folder.path, third, request)))

    assert.equal(first.existedCount, 0)
    assert.deepEqual(new Set(others.map(({ existedCount }) => existedCount)), new Set([1]))
    assert.equal((await walKeys(place)).length, 1)
  })

  test('stores another content of the same name beside the first, and warns (R23, M11)', async () => {
    await using folder = await temporaryFolder()
    const place = await createPlace()
    const context = recordingContext()
    const partial = `${third}.partial`

    for (const name of [third, partial]) {
      await push(folder.path, name, { content: buildSegment(third), places: [place] })
      await push(folder.path, name, { content: buildSegment(third, { fill: 2 }), places: [place], context })
    }

    const { conflicts } = await readArchiveInventory(place, recordingContext())
    assert.deepEqual(
      conflicts.map(({ name, digests }) => [name.name, digests.length]),
      [
        [third, 2],
        [partial, 2],
      ],
    )
    assert.deepEqual(
      context.events.map(({ kind }) => kind),
      ['warning', 'warning'],
    )
    await assert.rejects(fetchSegment({ name: third }, place, recordingContext()), (error) =>
      isOperationError(error, 'target-ambiguous'),
    )
  })

  for (const [what, content] of [
    ['of another cluster', buildSegment(third, { systemIdentifier: '7654321098765432108' })],
    ['of another major version', buildSegment(third, { major: 15 })],
    ['that was renamed', buildSegment('000000010000000000000004')],
    ['of a later timeline', buildSegment(third, { timeline: 2 })],
    ['of zeros', Buffer.alloc(1024 * 1024)],
    ['that is too short', buildSegment(third).subarray(0, 8192)],
    ['that is empty', Buffer.alloc(0)],
  ] as const) {
    test(`refuses a segment ${what} and stores nothing (R25)`, async () => {
      await using folder = await temporaryFolder()
      const place = await createPlace()

      await assert.rejects(push(folder.path, third, { content, places: [place] }), (error) =>
        isOperationError(error, 'segment-invalid'),
      )

      assert.deepEqual(await walKeys(place), [])
    })
  }

  test('takes history files and backup notes, and refuses what is none (R26)', async () => {
    await using folder = await temporaryFolder()
    const place = await createPlace()
    const note = `START WAL LOCATION: 0/300028 (file ${third})\nSTOP WAL LOCATION: 0/300100 (file ${third})\n`

    await push(folder.path, '0000000A.history', {
      content: text('1\t0/300100\tno recovery target specified\n'),
      places: [place],
    })
    await push(folder.path, `${third}.00000028.backup`, { content: text(note), places: [place] })

    const { histories, newestTimeline } = await readArchiveInventory(place, recordingContext())
    assert.deepEqual([...histories.keys()], [10])
    assert.equal(newestTimeline, 10)
    for (const [name, content] of [
      ['0000000B.history', '11\t0/300100\tnot older\n'],
      ['0000000B.history', ''],
      ['000000010000000000000004.00000028.backup', note],
    ] as const) {
      await assert.rejects(push(folder.path, name, { content: text(content), places: [place] }), (error) =>
        isOperationError(error, 'segment-invalid'),
      )
    }
  })

  test('refuses names that PostgreSQL never archives, and files that are links', async () => {
    await using folder = await temporaryFolder()
    const place = await createPlace()
    await writeFile(join(folder.path, 'x'), '')
    await symlink('x', join(folder.path, third))

    await assert.rejects(push(folder.path, 'passwd', { content: text(''), places: [place] }), (error) =>
      isOperationError(error, 'usage'),
    )
    await assert.rejects(
      pushFile({ path: join(folder.path, third) }, { repositories: [place] }, recordingContext()),
      (error) => isOperationError(error, 'file-unreadable'),
    )
  })

  test('stores in every repository and fails when one of them does not take it (R22)', async () => {
    await using folder = await temporaryFolder()
    const store = new FaultyStore(new MemoryStore('broken', systemClock))
    const [good, broken] = [await createPlace(), await createPlace({ store })]
    store.plan({ kind: 'fail', when: 'before', error: unreachable(), at: { operation: 'putIfAbsent' } })

    await assert.rejects(
      push(folder.path, third, { content: buildSegment(third), places: [broken, good] }),
      isUnreachable,
    )

    const fetched = await fetchSegment({ name: third }, good, recordingContext())
    assert.equal(fetched.kind, 'found')
  })

  test('says that what is archived already is damaged, instead of relying on it (R23)', async () => {
    await using folder = await temporaryFolder()
    const store = new FaultyStore(new MemoryStore('damaged', systemClock))
    const place = await createPlace({ store })
    const request = { content: buildSegment(third), places: [place] }
    await push(folder.path, third, request)
    store.plan({ kind: 'flip-bit', bitIndex: 5000, at: { operation: 'get', subject: '/wal/' } })

    await assert.rejects(push(folder.path, third, request), (error) => isOperationError(error, 'damaged'))
  })

  test('stores nothing once it is cancelled', async () => {
    await using folder = await temporaryFolder()
    const place = await createPlace()
    const context = recordingContext(AbortSignal.abort(new OperationError('cancelled', 'stopped')))

    await assert.rejects(
      push(folder.path, third, { content: buildSegment(third), places: [place], context }),
      (error) => isOperationError(error, 'cancelled'),
    )

    assert.deepEqual(await walKeys(place), [])
  })

  test('uses the history beside the segment to check its timeline (R25)', async () => {
    await using folder = await temporaryFolder()
    const place = await createPlace()
    const name = '0000000A0000000000000003'
    await writeFile(join(folder.path, '0000000A.history'), '1\t0/100000\treason\n')

    await assert.rejects(
      push(folder.path, name, { content: buildSegment(name, { timeline: 1 }), places: [place] }),
      (error) => isOperationError(error, 'segment-invalid'),
    )
    await push(folder.path, name, { content: buildSegment(name), places: [place] })
  })
})

interface Push {
  readonly content: Uint8Array
  readonly places: readonly ArchivePlace[]
  readonly required?: number
  readonly context?: ReturnType<typeof recordingContext>
}

async function push(
  folder: string,
  name: string,
  { content, places, required = places.length, context = recordingContext() }: Push,
): ReturnType<typeof pushFile> {
  const path = join(folder, name)
  await writeFile(path, content)
  return pushFile({ path }, { repositories: places, required }, context)
}

async function walKeys({ repository, cluster }: ArchivePlace): Promise<string[]> {
  const keys: string[] = []
  for await (const { key } of repository.store.list(walPrefix(cluster.id))) keys.push(key)
  return keys
}

const text = (content: string): Buffer => Buffer.from(content)
const unreachable = (): OperationError => new OperationError('store-unreachable', 'no route')
const isUnreachable = (error: unknown): boolean => isOperationError(error, 'store-unreachable')
