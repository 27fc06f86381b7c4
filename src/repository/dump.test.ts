import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { FaultyStore } from '../../test/support/faulty-store.ts'
import { ManualClock } from '../../test/support/manual-clock.ts'
import { collect } from '../../test/support/repository-samples.ts'
import { testClusterRecord, testContext, testRepository } from '../../test/support/repository.ts'
import { seededRandom } from '../../test/support/seeded-random.ts'
import { parseBackupLabel } from '../domain/backup-label.ts'
import { isOperationError, OperationError } from '../domain/operation-error.ts'
import { parseTargetTime } from '../domain/target-time.ts'
import { releaseMemory } from '../platform/release-memory.ts'
import { MemoryStore } from '../storage/memory/memory-store.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import { changeCatalogue, readCatalogue } from './catalogue.ts'
import type { DumpEntry } from './dump-entry.ts'
import { decodeDumpHead, encodeDumpHead, type DumpHead, type MemberDescription } from './dump-head.ts'
import { readDumpHead, readMember, type DumpPlace } from './dump-reader.ts'
import { openDumpWriter, type DumpWriter } from './dump-writer.ts'
import { dumpHeadKey, dumpPartKey, dumpPrefix } from './object-keys.ts'
import { encodeRecord } from './record.ts'
import { resealObject } from './reseal-object.ts'
import { acquireDumpLease, chooseDumpLabel, publishDump } from './take-dump.ts'
import type { Lease } from './lease.ts'

const mebibyte = 1024 * 1024
const label = parseBackupLabel('20260220-153000L')
const allowed = (): Promise<void> => Promise.resolve()
const isDamaged = (error: unknown): boolean => isOperationError(error, 'damaged')

interface Site extends AsyncDisposable {
  readonly place: DumpPlace
  readonly context: ReturnType<typeof testContext>
  readonly lease: Lease
  readonly clock: ManualClock
}

async function createSite(
  options: { wrap?: (store: ObjectStore) => ObjectStore; isPlain?: true } = {},
): Promise<Site> {
  const clock = new ManualClock()
  const context = testContext({ clock })
  const inner = new MemoryStore('dumps', clock)
  const store = options.wrap?.(inner) ?? inner
  const repository = await testRepository(context, {
    store,
    ...(options.isPlain && { unlocker: undefined }),
  })
  const place = { repository, cluster: await testClusterRecord(repository, context) }
  const lease = await acquireDumpLease(place, context)
  return { place, context, lease, clock, [Symbol.asyncDispose]: () => lease[Symbol.asyncDispose]() }
}

const known = {
  startedAt: parseTargetTime('2026-02-20T15:30:00.000001Z'),
  stoppedAt: parseTargetTime('2026-02-20T15:31:00Z'),
  facts: { 'server-version': '18.1', __proto__: 'a name like others' },
}

const describeMember = (name: string, changes: Partial<MemberDescription> = {}): MemberDescription => ({
  name,
  kind: 'database',
  database: name,
  format: 'custom',
  ...changes,
})

async function* inChunks(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < bytes.length; offset += size) yield bytes.subarray(offset, offset + size)
}

function noise(length: number, seed = 1): Buffer {
  const random = seededRandom(seed)
  const bytes = Buffer.alloc(length)
  for (let offset = 0; offset + 4 <= length; offset += 4) bytes.writeUInt32LE(random(2 ** 32), offset)
  return bytes
}

const open = ({ place, context, lease }: Site): DumpWriter => openDumpWriter(place, { label, lease }, context)

/** One dump of these members, all written at once. */
async function write(site: Site, members: Readonly<Record<string, Uint8Array>>): Promise<DumpEntry> {
  const writer = open(site)
  try {
    await Promise.all(
      Object.entries(members).map(([name, bytes]) =>
        writer.writeMember(describeMember(name), inChunks(bytes, 70_000)),
      ),
    )
    return await writer.finish(known)
  } catch (error) {
    await writer.discard()
    throw error
  }
}

async function read({ place, context }: Site, entry: DumpEntry, name: string): Promise<Buffer> {
  const { members } = await readDumpHead(place, entry, context)
  const member = members.find((one) => one.name === name) ?? assert.fail(name)
  const chunks: Buffer[] = []
  for await (const chunk of readMember(place, { entry, member }, context)) {
    chunks.push(Buffer.from(chunk))
    releaseMemory(chunk) // as a reader may
  }
  return Buffer.concat(chunks)
}

/** Replaces an object behind everybody's back. */
async function replace({ place, context }: Site, key: string, bytes: Uint8Array): Promise<void> {
  const { store } = place.repository
  await store.delete([key], context)
  await store.putIfAbsent(key, bytes, context)
}

const bytesOf = async ({ place }: Site, key: string): Promise<Buffer> =>
  Buffer.from((await place.repository.store.get(key)) ?? assert.fail(key))

const firstPart = ({ place }: Site): string => dumpPartKey(place.cluster.id, { label, number: 1 })

describe('a dump', () => {
  for (const isPlain of [undefined, true] as const)
    test(`gives back what was written, ${isPlain === true ? 'without sealing' : 'sealed'}`, async () => {
      await using site = await createSite({ ...(isPlain && { isPlain }) })
      const sizes = [
        0,
        1,
        mebibyte - 1,
        mebibyte,
        mebibyte + 1,
        8 * mebibyte,
        8 * mebibyte + 1,
        16 * mebibyte + 1,
      ]
      const random = noise(16 * mebibyte + 1)
      const members = Object.fromEntries(sizes.map((size) => [`noise ${size}`, random.subarray(0, size)]))
      const text = Buffer.from('../../etc/passwd\n'.repeat(200_000))
      const entry = await write(site, { ...members, '../text': text })

      for (const size of sizes)
        assert.ok(
          (await read(site, entry, `noise ${size}`)).equals(random.subarray(0, size)),
          `${size} bytes`,
        )
      assert.ok((await read(site, entry, '../text')).equals(text))
    })

  test('is described by its entry and its head', async () => {
    await using site = await createSite()
    const writer = open(site)
    const globals = describeMember('globals', { kind: 'globals', database: undefined, format: 'plain' })
    await writer.writeMember(globals, inChunks(Buffer.from('CREATE ROLE a;\n'.repeat(1000)), 64))
    await writer.writeMember(describeMember('app'), inChunks(noise(5000), 999))
    const entry = await writer.finish(known)
    const head = await readDumpHead(site.place, entry, site.context)

    const stored = await collect(site.place.repository.store.list(dumpPrefix(site.place.cluster.id, label)))
    const { headDigest: _, ...rest } = entry
    assert.deepEqual(rest, {
      label,
      startedAt: known.startedAt,
      stoppedAt: known.stoppedAt,
      databases: ['app'],
      databaseCount: 1,
      formats: ['plain', 'custom'],
      rawBytes: 20_000,
      storedBytes: stored.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    })
    assert.ok(entry.storedBytes < 7000, `${entry.storedBytes} bytes`)
    assert.deepEqual(head.facts, known.facts)
    assert.deepEqual(
      head.members.map(({ name, kind, database, format, rawBytes }) => ({
        name,
        kind,
        database,
        format,
        rawBytes,
      })),
      [
        { ...globals, rawBytes: 15_000 },
        { ...describeMember('app'), rawBytes: 5000 },
      ],
    )
  })

  test('stores several parts at once, and never more than a few', async () => {
    let underWay = 0
    let most = 0
    class Counting extends FaultyStore {
      override async putIfAbsent(key: string, bytes: Uint8Array): Promise<'created' | 'exists'> {
        underWay += 1
        most = Math.max(most, underWay)
        await new Promise((resolve) => setImmediate(resolve))
        const answer = await super.putIfAbsent(key, bytes)
        underWay -= 1
        return answer
      }
    }
    await using site = await createSite({ wrap: (store) => new Counting(store) })
    const members = Object.fromEntries(
      Array.from({ length: 12 }, (_, index) => [`db${index}`, noise(1000, index)]),
    )
    await write(site, members)

    assert.equal(most, 3)
  })

  test('needs little memory for a short member', async () => {
    await using site = await createSite()
    const writer = open(site)
    const before = process.memoryUsage().arrayBuffers
    await writer.writeMember(describeMember('app'), inChunks(noise(1000), 100))

    const grown = process.memoryUsage().arrayBuffers - before
    await writer.discard()
    assert.ok(grown < 8 * mebibyte, `${grown} bytes more`)
  })

  test('is not given out when a part is damaged, missing or another one', async () => {
    await using site = await createSite()
    const entry = await write(site, { app: noise(3 * mebibyte) })
    const key = firstPart(site)
    const whole = await bytesOf(site, key)
    const { sealing: keys } = site.place.repository.keys
    const resealed = resealObject(whole, { keys, kind: 'dump-part', key }, { keys, key })
    const flipped = [9, 40, 2 * mebibyte, whole.length - 1].map((offset) => {
      const bytes = Buffer.from(whole)
      bytes[offset] = (bytes[offset] ?? 0) ^ 1
      return bytes
    })
    const wrong = [...flipped, whole.subarray(0, -1), Buffer.concat([whole, whole]), resealed]

    for (const bytes of wrong) {
      await replace(site, key, bytes)
      await assert.rejects(read(site, entry, 'app'), isDamaged)
    }
    await site.place.repository.store.delete([key])
    await assert.rejects(read(site, entry, 'app'), isDamaged)
    await replace(site, key, whole)
    assert.equal((await read(site, entry, 'app')).length, 3 * mebibyte)
  })

  test('is not given out as whole when its bytes are not those of its digest', async () => {
    await using site = await createSite()
    const entry = await write(site, { app: noise(3000) })
    const { members } = await readDumpHead(site.place, entry, site.context)
    const [member = assert.fail()] = members
    const reading = readMember(
      site.place,
      { entry, member: { ...member, digest: '00'.repeat(16) } },
      site.context,
    )

    await assert.rejects(collect(reading), isDamaged)
  })

  test('cannot be read when its head is damaged, missing or another one', async () => {
    await using site = await createSite()
    const entry = await write(site, { app: noise(3000) })
    const key = dumpHeadKey(site.place.cluster.id, label)
    const reading = (headDigest = entry.headDigest) =>
      readDumpHead(site.place, { label, headDigest }, site.context)

    await assert.rejects(reading('00'.repeat(16)), isDamaged)
    const bytes = await bytesOf(site, key)
    await replace(site, key, bytes.subarray(0, -1))
    await assert.rejects(reading(), isDamaged)
    await site.place.repository.store.delete([key])
    await assert.rejects(reading(), isDamaged)
  })

  test('fails with its source, and leaves nothing behind when it is discarded', async () => {
    await using site = await createSite()
    const writer = open(site)
    const broken = new Error('pg_dump died')
    await writer.writeMember(describeMember('whole'), inChunks(noise(1000), 100))
    const failing = writer.writeMember(
      describeMember('broken'),
      (async function* () {
        yield noise(17 * mebibyte)
        throw broken
      })(),
    )

    await assert.rejects(failing, broken)
    await assert.rejects(writer.finish(known), broken)
    await writer.discard()
    assert.deepEqual(
      await collect(site.place.repository.store.list(dumpPrefix(site.place.cluster.id, label))),
      [],
    )
  })

  test('fails when a part cannot be stored', async () => {
    let faulty: FaultyStore | undefined
    await using site = await createSite({ wrap: (store) => (faulty = new FaultyStore(store)) })
    const failure = new OperationError('store-failed', 'the disk is gone')
    faulty?.plan({ kind: 'fail', error: failure, when: 'before', at: { subject: 'part-000001' } })

    await assert.rejects(write(site, { app: noise(33 * mebibyte) }), failure)
  })

  test('that is listed is not discarded', async () => {
    await using site = await createSite()
    const writer = open(site)
    await writer.writeMember(describeMember('app'), inChunks(noise(1000), 100))
    const dump = await writer.finish(known)
    await publishDump({ ...site, dump }, site.context)
    await writer.discard()

    assert.equal((await read(site, dump, 'app')).length, 1000)
  })

  test('cannot be listed after its lease was lost', async () => {
    await using site = await createSite()
    const dump = await write(site, { app: noise(1000) })
    site.clock.skip(24 * 3_600_000)

    await assert.rejects(publishDump({ ...site, dump }, site.context), (error) =>
      isOperationError(error, 'lease-lost'),
    )
    const { dumps } = await readCatalogue(site.place.repository, site.place.cluster.id, site.context)
    assert.deepEqual(dumps, [])
  })

  test('gets a label later than what is listed and than what a killed one left', async () => {
    await using site = await createSite()
    const first = await chooseDumpLabel(site.place, site.context)
    await site.place.repository.store.putIfAbsent(
      dumpPartKey(site.place.cluster.id, { label: first, number: 1 }),
      Buffer.from('left'),
    )
    const second = await chooseDumpLabel(site.place, site.context)
    const dump = { ...(await write(site, {})), label: second }
    const { repository, cluster } = site.place
    const change = { kind: 'publish-dump', dump } as const
    await changeCatalogue(repository, { clusterId: cluster.id, change, confirm: allowed }, site.context)
    const third = await chooseDumpLabel(site.place, site.context)

    assert.ok(first < second && second < third, `${first} ${second} ${third}`)
    assert.match(third, /L$/)
  })
})

describe('decodeDumpHead', () => {
  const part = { number: 1, sizeBytes: 2000, rawBytes: 1000, tag: 'ab'.repeat(16) }
  const member = { ...describeMember('app'), rawBytes: 1000, digest: 'cd'.repeat(16), parts: [part] }
  const head: DumpHead = { label, ...known, members: [member] }

  test('has facts of a thousand databases', () => {
    const facts = Object.fromEntries(
      Array.from({ length: 5000 }, (_, index) => [`fact ${index % 5} of database ${index}`, 'x']),
    )
    assert.deepEqual(decodeDumpHead(encodeDumpHead({ ...head, facts }), 'key').facts, facts)
  })

  test('gives what was encoded', () => {
    assert.deepEqual(decodeDumpHead(encodeDumpHead(head), 'key'), head)
  })

  const hostile: Readonly<Record<string, Partial<DumpHead>>> = {
    'of a backup': { label: parseBackupLabel('20260220-153000F') },
    'with two members of one name': { members: [member, { ...member, parts: [], rawBytes: 0 }] },
    'with a member without a name': { members: [{ ...member, name: '' }] },
    'with a name that is too long': { members: [{ ...member, name: 'é'.repeat(501) }] },
    'with a kind that is no word': { members: [{ ...member, kind: '../x' }] },
    'with a part for two members': { members: [member, { ...member, name: 'other' }] },
    'with a part of too much content': {
      members: [{ ...member, rawBytes: 2 ** 25, parts: [{ ...part, rawBytes: 2 ** 25 }] }],
    },
    'with a part that is too large': { members: [{ ...member, parts: [{ ...part, sizeBytes: 2 ** 26 }] }] },
    'with a part that has no number': { members: [{ ...member, parts: [{ ...part, number: 0 }] }] },
    'with lengths that do not add up': { members: [{ ...member, rawBytes: 1001 }] },
    'with a tag that is none': { members: [{ ...member, parts: [{ ...part, tag: 'x' }] }] },
  }
  for (const [what, changes] of Object.entries(hostile))
    test(`refuses one ${what}`, () => {
      assert.throws(() => decodeDumpHead(encodeDumpHead({ ...head, ...changes }), 'key'), isDamaged)
    })

  test('refuses one of a later version', () => {
    const later = encodeRecord({
      ...(JSON.parse(Buffer.from(encodeDumpHead(head)).toString()) as object),
      version: 2,
    })

    assert.throws(
      () => decodeDumpHead(later, 'key'),
      (error) => isOperationError(error, 'format-newer'),
    )
  })
})
