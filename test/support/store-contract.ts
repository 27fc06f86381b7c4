import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { array, assert as check, asyncProperty, constantFrom, record, tuple } from 'fast-check'
import { isOperationError } from '../../src/domain/operation-error.ts'
import { maxObjectSizeBytes, type ObjectStore } from '../../src/storage/object-store.ts'

/** A store to test, empty, and whatever has to go away after the test. */
export interface StoreUnderTest extends AsyncDisposable {
  readonly store: ObjectStore
}

/** What every kind of store promises: the sentences of `ObjectStore`, one test each. */
export function describeStoreContract(name: string, makeStore: () => Promise<StoreUnderTest>): void {
  describe(name, () => {
    describePutting(makeStore)
    describeReading(makeStore)
    describeListing(makeStore)
    describeLongListing(makeStore)
    describeDeleting(makeStore)
    describeKeys(makeStore)
    describeAborting(makeStore)
  })
}

/** What an asynchronous row gives, in an array. */
export async function collect<T>(row: AsyncIterable<T>): Promise<T[]> {
  const collected: T[] = []
  for await (const one of row) collected.push(one)
  return collected
}

type MakeStore = () => Promise<StoreUnderTest>

function describePutting(makeStore: MakeStore): void {
  test('gives back what was stored', async () => {
    await using fixture = await makeStore()

    assert.equal(await fixture.store.putIfAbsent('some/folder/object', bytesOf(1, 2, 3)), 'created')

    assert.deepEqual(await fixture.store.get('some/folder/object'), bytesOf(1, 2, 3))
  })

  test('never overwrites (R24)', async () => {
    await using fixture = await makeStore()
    await fixture.store.putIfAbsent('key', bytesOf(1))

    assert.equal(await fixture.store.putIfAbsent('key', bytesOf(2)), 'exists')

    assert.deepEqual(await fixture.store.get('key'), bytesOf(1))
  })

  test('tells exactly one of 20 racing creators that it created the object (R23, R24)', async () => {
    await using fixture = await makeStore()
    const contents = Array.from({ length: 20 }, (_, index) => bytesOf(index, index))

    const answers = await Promise.all(contents.map((bytes) => fixture.store.putIfAbsent('race/key', bytes)))

    const winners = contents.filter((_, index) => answers[index] === 'created')
    assert.equal(winners.length, 1)
    assert.deepEqual(await fixture.store.get('race/key'), winners[0])
  })

  test('keeps an empty object', async () => {
    await using fixture = await makeStore()

    await fixture.store.putIfAbsent('empty', new Uint8Array(0))

    assert.deepEqual(await fixture.store.get('empty'), new Uint8Array(0))
    assert.equal((await fixture.store.head('empty'))?.sizeBytes, 0)
  })

  test('keeps an object of the largest size', async () => {
    await using fixture = await makeStore()
    const bytes = new Uint8Array(maxObjectSizeBytes)
    for (let offset = 0; offset < bytes.length; offset += 4096) bytes[offset] = offset / 4096

    await fixture.store.putIfAbsent('large', bytes)

    const found = await fixture.store.get('large')
    assert.ok(found !== undefined && Buffer.from(found.buffer).equals(bytes))
  })

  test('takes an object above the largest size for a bug', async () => {
    await using fixture = await makeStore()

    await assert.rejects(
      fixture.store.putIfAbsent('large', new Uint8Array(maxObjectSizeBytes + 1)),
      assert.AssertionError,
    )
  })

  test('stores a view of shared memory, and only the view', async () => {
    await using fixture = await makeStore()
    const shared = new Uint8Array(new SharedArrayBuffer(8)).fill(9)
    const view = shared.subarray(2, 5)
    view.set([1, 2, 3])

    await fixture.store.putIfAbsent('shared', view)
    shared.fill(0)

    assert.deepEqual(await fixture.store.get('shared'), bytesOf(1, 2, 3))
  })
}

function describeReading(makeStore: MakeStore): void {
  test('answers undefined for an absent object', async () => {
    await using fixture = await makeStore()
    await fixture.store.putIfAbsent('folder/object', bytesOf(1))

    for (const key of ['absent', 'folder/absent', 'folder/sub/absent', 'folder']) {
      assert.equal(await fixture.store.get(key), undefined)
      assert.equal(await fixture.store.head(key), undefined)
    }
  })

  test('reads exactly the range it is asked for', async () => {
    await using fixture = await makeStore()
    const bytes = bytesOf(0, 1, 2, 3, 4, 5, 6, 7)
    await fixture.store.putIfAbsent('ranges', bytes)

    for (let offset = 0; offset <= bytes.length; offset++) {
      for (let length = 0; offset + length <= bytes.length; length++) {
        const found = await fixture.store.get('ranges', { offset, length })
        assert.deepEqual(found, bytes.slice(offset, offset + length))
      }
    }
  })

  test('calls an object damaged that ends before the range does', async () => {
    await using fixture = await makeStore()
    await fixture.store.putIfAbsent('ranges', bytesOf(1, 2, 3))

    for (const range of [
      { offset: 0, length: 4 },
      { offset: 3, length: 1 },
      { offset: 100, length: 0 },
    ]) {
      await assert.rejects(fixture.store.get('ranges', range), hasCode('damaged'))
    }
  })

  test('gives each caller bytes of its own, alone in their buffer', async () => {
    await using fixture = await makeStore()
    const given = bytesOf(1, 2, 3)
    await fixture.store.putIfAbsent('own', given)
    given.fill(0)

    const first = await fixture.store.get('own', { offset: 1, length: 2 })
    const second = await fixture.store.get('own')

    assert.ok(first && second)
    assert.equal(first.buffer.byteLength, 2)
    const moved = structuredClone(first, { transfer: [first.buffer] })
    moved.fill(0)
    assert.deepEqual(second, bytesOf(1, 2, 3))
    assert.deepEqual(await fixture.store.get('own'), bytesOf(1, 2, 3))
  })

  test('tells size and age without reading', async () => {
    await using fixture = await makeStore()
    await fixture.store.putIfAbsent('attributes', bytesOf(1, 2, 3))

    const found = await fixture.store.head('attributes')

    assert.equal(found?.sizeBytes, 3)
    assert.ok(Number.isInteger(found.modifiedAtMs))
    assert.ok(Math.abs(found.modifiedAtMs - Date.now()) < 3_600_000)
  })
}

function describeListing(makeStore: MakeStore): void {
  test('lists nothing of an empty store', async () => {
    await using fixture = await makeStore()

    assert.deepEqual(await keysOf(fixture.store, ''), [])
    assert.deepEqual(await keysOf(fixture.store, 'no/such/folder/'), [])
  })

  test('lists all keys below, in ascending byte order', async () => {
    await using fixture = await makeStore()
    const keys = ['a-b', 'a.b', 'a/b', 'a/b-c/d', 'a/b.c', 'a0', 'A', '_', 'b/c/d/e', 'b/c/d-e', 'z']
    await putAll(fixture.store, keys)

    assert.deepEqual(await keysOf(fixture.store, ''), keys.toSorted())
  })

  test('takes any beginning of a key for a prefix', async () => {
    await using fixture = await makeStore()
    await putAll(fixture.store, ['wal/01/03-a', 'wal/01/03-b', 'wal/01/04-a', 'wal/010/03-a', 'walrus'])

    assert.deepEqual(await keysOf(fixture.store, 'wal/01/03-'), ['wal/01/03-a', 'wal/01/03-b'])
    assert.deepEqual(await keysOf(fixture.store, 'wal/01/'), ['wal/01/03-a', 'wal/01/03-b', 'wal/01/04-a'])
    assert.equal((await keysOf(fixture.store, 'wal/01')).length, 4)
    assert.equal((await keysOf(fixture.store, 'wal')).length, 5)
    assert.deepEqual(await keysOf(fixture.store, 'walrus'), ['walrus'])
    assert.deepEqual(await keysOf(fixture.store, 'walrus/'), [])
  })

  test('lists the attributes that head tells', async () => {
    await using fixture = await makeStore()
    await fixture.store.putIfAbsent('folder/object', bytesOf(1, 2, 3))

    const [listed] = await collect(fixture.store.list('folder/'))

    assert.deepEqual(listed, { key: 'folder/object', ...(await fixture.store.head('folder/object')) })
  })
}

function describeLongListing(makeStore: MakeStore): void {
  test('lists 150 objects of one folder, and lets them be deleted meanwhile', async () => {
    await using fixture = await makeStore()
    const keys = Array.from({ length: 150 }, (_, index) => `many/${String(index).padStart(3, '0')}`)
    await putAll(fixture.store, keys)

    const listed: string[] = []
    for await (const { key } of fixture.store.list('many/')) {
      listed.push(key)
      await fixture.store.delete([key])
    }

    assert.deepEqual(listed, keys)
    assert.deepEqual(await keysOf(fixture.store, ''), [])
  })

  test('agrees with a plain map after any row of calls', async () => {
    const segment = constantFrom('a', 'b', 'a-b', 'a.b', '_')
    const folders = constantFrom('', 'f/', 'f-g/', 'f.g/', 'f/g/')
    const key = tuple(folders, segment).map(([folder, name]) => `${folder}x${name}`)
    const call = record({ kind: constantFrom('put', 'delete'), key })

    await check(
      asyncProperty(array(call, { maxLength: 20 }), async (calls) => {
        await using fixture = await makeStore()
        const model = new Map<string, Uint8Array>()
        for (const [index, { kind, key: subject }] of calls.entries()) {
          const bytes = bytesOf(index)
          if (kind === 'delete') {
            await fixture.store.delete([subject])
            model.delete(subject)
          } else {
            const expected = model.has(subject) ? 'exists' : 'created'
            assert.equal(await fixture.store.putIfAbsent(subject, bytes), expected)
            if (expected === 'created') model.set(subject, bytes)
          }
        }
        assert.deepEqual(await keysOf(fixture.store, ''), [...model.keys()].toSorted())
        for (const [stored, bytes] of model) assert.deepEqual(await fixture.store.get(stored), bytes)
      }),
      { numRuns: 25 },
    )
  })
}

function describeDeleting(makeStore: MakeStore): void {
  test('deletes what it is told to and nothing else', async () => {
    await using fixture = await makeStore()
    await putAll(fixture.store, ['a/1', 'a/2', 'b/1', 'c'])

    await fixture.store.delete(['a/1', 'b/1', 'c'])

    assert.deepEqual(await keysOf(fixture.store, ''), ['a/2'])
    assert.equal(await fixture.store.get('a/1'), undefined)
  })

  test('does not mind deleting what is absent', async () => {
    await using fixture = await makeStore()
    await putAll(fixture.store, ['a/1', 'a/b/1'])

    await fixture.store.delete(['a/1', 'absent', 'no/such/folder', 'a/b'])
    await fixture.store.delete(['a/1', 'a/1'])
    await fixture.store.delete([])

    assert.deepEqual(await keysOf(fixture.store, ''), ['a/b/1'])
  })

  test('stores and deletes what is short-lived like anything else, and tells that nothing is still there', async () => {
    await using fixture = await makeStore()
    await fixture.store.putIfAbsent('short', bytesOf(1), { isShortLived: true })
    assert.deepEqual(await fixture.store.get('short'), bytesOf(1))
    const refused: string[] = []

    await fixture.store.delete(['short', 'absent'], {
      onKept: ({ key, reason }) => {
        if (reason !== 'version') refused.push(key)
      },
    })

    assert.deepEqual(refused, [])
    assert.equal(await fixture.store.get('short'), undefined)
  })

  test('takes a deleted key again', async () => {
    await using fixture = await makeStore()
    await fixture.store.putIfAbsent('a/b/c', bytesOf(1))
    await fixture.store.delete(['a/b/c'])

    assert.equal(await fixture.store.putIfAbsent('a/b/c', bytesOf(2)), 'created')

    assert.deepEqual(await fixture.store.get('a/b/c'), bytesOf(2))
  })

  test('loses no object that is stored while its neighbours are deleted', async () => {
    await using fixture = await makeStore()
    const rounds = Array.from({ length: 30 }, (_, index) => index)

    await Promise.all([
      ...rounds.map((index) => fixture.store.putIfAbsent(`race/folder/kept-${index}`, bytesOf(index))),
      ...rounds.map(async (index) => {
        await fixture.store.putIfAbsent(`race/folder-${index % 3}/gone-${index}`, bytesOf(index))
        await fixture.store.delete([`race/folder-${index % 3}/gone-${index}`])
      }),
    ])

    assert.deepEqual(
      await keysOf(fixture.store, 'race/'),
      rounds.map((index) => `race/folder/kept-${index}`).toSorted(),
    )
  })
}

function describeKeys(makeStore: MakeStore): void {
  test('takes every key of the grammar', async () => {
    await using fixture = await makeStore()
    const keys = [
      'a',
      '-',
      '_',
      'A.b-c_9',
      'ab12/wal/00000001/x-1f.00',
      's'.repeat(255),
      longestKey(),
      '0/a..b',
    ]
    await putAll(fixture.store, keys)

    assert.deepEqual(await keysOf(fixture.store, ''), keys.toSorted())
  })

  test('takes any other key for a bug', async () => {
    await using fixture = await makeStore()
    const { store } = fixture
    const bad = [
      '',
      '/',
      '/a',
      'a/',
      'a//b',
      '.',
      '..',
      'a/../b',
      '.hidden',
      'a/.b',
      'a b',
      'a\0',
      'ä',
      'a\n',
    ]

    for (const key of [...bad, 'n'.repeat(256), `${longestKey()}x`]) {
      await assert.rejects(store.get(key), assert.AssertionError, key)
      await assert.rejects(store.head(key), assert.AssertionError, key)
      await assert.rejects(store.putIfAbsent(key, bytesOf(1)), assert.AssertionError, key)
      await assert.rejects(store.delete(['good', key]), assert.AssertionError, key)
    }
    for (const prefix of ['/', 'a//', '../', 'a/.']) {
      await assert.rejects(keysOf(store, prefix), assert.AssertionError, prefix)
    }
  })

  test('says where it is in one line', async () => {
    await using fixture = await makeStore()

    assert.match(fixture.store.location, /^[a-z][a-z0-9]*:[^\n]+$/)
  })
}

function describeAborting(makeStore: MakeStore): void {
  test('does nothing for a caller that has aborted, and tells its reason', async () => {
    await using fixture = await makeStore()
    const { store } = fixture
    await store.putIfAbsent('kept', bytesOf(1))
    const reason = new Error('stop')
    const options = { signal: AbortSignal.abort(reason) }
    const isReason = (error: unknown): boolean => error === reason

    await assert.rejects(store.get('kept', undefined, options), isReason)
    await assert.rejects(store.head('kept', options), isReason)
    await assert.rejects(store.putIfAbsent('other', bytesOf(1), options), isReason)
    await assert.rejects(store.delete(['kept'], options), isReason)
    await assert.rejects(collect(store.list('', options)), isReason)

    assert.deepEqual(await keysOf(store, ''), ['kept'])
  })

  test('stores all or nothing when the caller aborts meanwhile', async () => {
    await using fixture = await makeStore()
    const bytes = new Uint8Array(10_000).fill(7)
    const keys = Array.from({ length: 20 }, (_, index) => `abort/${index}`)

    const outcomes = await Promise.allSettled(
      keys.map(async (key, index) => {
        const controller = new AbortController()
        const put = fixture.store.putIfAbsent(key, bytes, { signal: controller.signal })
        setTimeout(() => controller.abort(), index / 4)
        return put
      }),
    )

    for (const [index, key] of keys.entries()) {
      const found = await fixture.store.get(key)
      if (outcomes[index]?.status === 'fulfilled') assert.ok(found)
      if (found !== undefined) assert.deepEqual(found, bytes)
    }
  })

  test('ends a listing when the caller aborts meanwhile', async () => {
    await using fixture = await makeStore()
    await putAll(
      fixture.store,
      Array.from({ length: 100 }, (_, index) => `many/${index}`),
    )
    const controller = new AbortController()

    const listed: string[] = []
    const listing = async (): Promise<void> => {
      for await (const { key } of fixture.store.list('', { signal: controller.signal })) {
        listed.push(key)
        controller.abort()
      }
    }

    await assert.rejects(listing(), { name: 'AbortError' })
    assert.ok(listed.length < 100)
  })
}

function bytesOf(...values: readonly number[]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(values)
}

function longestKey(): string {
  return `${'n'.repeat(255)}/${'m'.repeat(254)}/k`
}

function hasCode(code: 'damaged'): (error: unknown) => boolean {
  return (error) => isOperationError(error, code)
}

async function putAll(store: ObjectStore, keys: readonly string[]): Promise<void> {
  for (const key of keys) await store.putIfAbsent(key, bytesOf(1))
}

async function keysOf(store: ObjectStore, prefix: string): Promise<string[]> {
  const listed = await collect(store.list(prefix))
  return listed.map(({ key }) => key)
}
