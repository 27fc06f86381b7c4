import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, test } from 'node:test'
import { createPlace, recordingContext } from '../../test/support/archive-fixture.ts'
import type { FaultyStore } from '../../test/support/faulty-store.ts'
import { flipBit, replaceObject } from '../../test/support/repository-samples.ts'
import { seededRandom } from '../../test/support/seeded-random.ts'
import { storeDump } from '../../test/support/stored-dump.ts'
import { decide, memoryStore, transfer } from '../../test/support/transfer-site.ts'
import type { ArchivePlace } from '../archive/archive-place.ts'
import { keyedDigest } from '../codec/keyed-digest.ts'
import { parseBackupLabel } from '../domain/backup-label.ts'
import { OperationError } from '../domain/operation-error.ts'
import { readProcessIdentity } from '../platform/process-identity.ts'
import { systemClock } from '../platform/system-clock.ts'
import { readCatalogue } from '../repository/catalogue.ts'
import type { ListedDump } from '../repository/dump-entry.ts'
import { decodeDumpHead, encodeDumpHead } from '../repository/dump-head.ts'
import { readDumpHead, readMember } from '../repository/dump-reader.ts'
import { acquireLease } from '../repository/lease.ts'
import { dumpHeadKey, dumpPartKey } from '../repository/object-keys.ts'
import { openObject, sealObject } from '../repository/sealed-store.ts'
import { acquireDumpLease } from '../repository/take-dump.ts'
import { sweepCluster, type SweepResult } from '../retention/sweep.ts'
import { copyListedDump } from './copy-dumps.ts'
import type { TransferResult } from './run-transfer.ts'

const older = parseBackupLabel('20260219-130000L')
const newer = parseBackupLabel('20260220-130000L')
const mebibyte = 1024 * 1024
const unreachable = new OperationError('store-unreachable', 'the network is gone')

describe('runTransfer, of dumps,', () => {
  test('makes them the same in a repository of other keys, or of none', async () => {
    for (const [isSealed, isTargetSealed] of [
      [true, true],
      [true, false],
      [false, true],
    ] as const) {
      const from = await createPlace({ isSealed })
      await storeDump(from, { label: older, contents: largeContents() }, recordingContext())
      await storeDump(from, { label: newer }, recordingContext())
      await decide(from, { kind: 'pin', label: older })
      const to = await createPlace({ isSealed: isTargetSealed })
      await storeDump(to, { label: '20260221-130000L' }, recordingContext())

      const { dumps, failures } = await transfer(from, to)

      assert.deepEqual([dumps.map(({ label }) => label), failures], [[older, newer], []])
      const there = await dumpsIn(to)
      assert.deepEqual(
        there.map(({ label, isPinned }) => [label, isPinned]),
        [
          [older, true],
          [newer, false],
          ['20260221-130000L', false],
        ],
      )
      assert.deepEqual(there.slice(0, 2).map(withoutHead), (await dumpsIn(from)).map(withoutHead))
      for (const label of [older, newer])
        assert.deepEqual(await contentsOf(to, label), await contentsOf(from, label))
    }
  })

  test('copies nothing twice', async () => {
    const { from, to, store } = await createTwo()
    await transfer(from, to)
    store.calls.splice(0)

    assert.deepEqual((await transfer(from, to)).dumps, [])
    assert.equal(await copyListedDump(older, { from, to }, recordingContext()), 0)

    assert.deepEqual(stored(store), [])
  })

  test('says with isDryRun what it would copy, and writes nothing', async () => {
    const { from, to, store } = await createTwo()
    store.calls.splice(0)

    const { dumps } = await transfer(from, to, { isDryRun: true })

    const listed = (await dumpsIn(from)).map(({ label, storedBytes }) => ({ label, storedBytes }))
    assert.deepEqual(dumps, listed)
    assert.ok(store.calls.every(({ operation }) => operation !== 'putIfAbsent' && operation !== 'delete'))
  })

  test('goes on where a copying ended that failed, and lists nothing before it is whole', async () => {
    for (const [subject, left] of [
      ['part-000003', ['part-000003', 'part-000005', 'head']],
      ['/head', ['head']],
      ['/catalog/', []],
    ] as const) {
      const { from, to, store } = await createTwo()
      store.plan({
        kind: 'fail',
        when: 'before',
        at: { operation: 'putIfAbsent', subject },
        error: unreachable,
      })
      const places = { from, to }
      await assert.rejects(copyListedDump(older, places, recordingContext()), { code: 'store-unreachable' })
      assert.deepEqual(await dumpsIn(to), [])
      store.heal()
      const before = new Set(await keysOf(to, older))
      store.calls.splice(0)

      assert.ok((await copyListedDump(older, places, recordingContext())) > 0 || left.length === 0)

      const sent = stored(store).filter((key) => key.includes('/dump/'))
      assert.ok(sent.every((key) => !before.has(key)))
      assert.ok(
        left.every((name) => sent.some((key) => key.endsWith(name))),
        sent.join(' '),
      )
      assert.deepEqual(await contentsOf(to, older), await contentsOf(from, older))
    }
  })

  test('replaces what a copying has left and what is damaged since', async () => {
    for (const keyOf of [
      (id: string) => dumpPartKey(id, { label: older, number: 1 }),
      (id: string) => dumpHeadKey(id, older),
    ]) {
      const { from, to, store } = await createTwo()
      const at = { operation: 'putIfAbsent', subject: '/catalog/' } as const
      store.plan({ kind: 'fail', when: 'before', at, error: unreachable })
      await assert.rejects(transfer(from, to))
      store.heal()
      await spoil(to, keyOf(to.cluster.id))

      const { failures } = await transfer(from, to)

      assert.deepEqual(failures, [])
      assert.deepEqual(await contentsOf(to, older), await contentsOf(from, older))
    }
  })

  test('lists none that is damaged here, names what is, and goes on with the next one', async () => {
    const harms: readonly (readonly [RegExp, (from: ArchivePlace) => Promise<void>])[] = [
      [/part-000004/, (from) => spoil(from, dumpPartKey(from.cluster.id, { label: older, number: 4 }))],
      [
        /part-000002" is missing/,
        (from) => from.repository.store.delete([dumpPartKey(from.cluster.id, { label: older, number: 2 })]),
      ],
      [/\/head/, (from) => spoil(from, dumpHeadKey(from.cluster.id, older))],
      [/its member "app" are not those that were dumped/, sayOtherDigest],
    ]
    for (const [named, harm] of harms) {
      const { from, to } = await createTwo()
      await harm(from)

      const { dumps, failures } = await transfer(from, to)

      assert.deepEqual([dumps.map(({ label }) => label), told(failures)], [[newer], [[older, 'damaged']]])
      assert.match(failures[0]?.error.message ?? '', named)
      assert.deepEqual((await dumpsIn(to)).map(labelOf), [newer])
    }
  })

  test('brings back nothing that was deleted there unless it is asked for, and then uses what is left', async () => {
    const { from, to, store } = await createTwo()
    await transfer(from, to)
    await decide(to, { kind: 'remove-dumps', labels: [older] })

    const again = await transfer(from, to)
    assert.deepEqual([again.dumps, again.forgotten], [[], [older]])

    store.calls.splice(0)
    const asked = await transfer(from, to, { wanted: [older] })
    assert.deepEqual(asked.dumps, [{ label: older, storedBytes: 0 }])
    assert.ok(stored(store).every((key) => !key.includes('/dump/')))
    assert.deepEqual(await contentsOf(to, older), await contentsOf(from, older))
  })

  test('touches nothing of another dump with the same label', async () => {
    const { from, to, store } = await createTwo()
    const contents = { other: Buffer.from('another one') }
    await storeDump(to, { label: older, contents }, recordingContext())
    assert.deepEqual((await transfer(from, to)).twins, [older])
    const places = { from, to }
    await assert.rejects(copyListedDump(older, places, recordingContext()), { code: 'repositories-differ' })

    await decide(to, { kind: 'remove-dumps', labels: [older] })
    store.calls.splice(0)
    const { dumps, failures } = await transfer(from, to, { wanted: [older] })

    assert.deepEqual([dumps, told(failures)], [[], [[older, 'repositories-differ']]])
    assert.ok(
      !store.calls.some(({ operation, subject }) => operation === 'delete' && subject.includes(older)),
    )
  })

  test('keeps a sweep from deleting what is not listed yet, and does not begin while one runs', async () => {
    const { from, to, store } = await createTwo()
    await storeDump(to, { label: '20260221-130000L' }, recordingContext())
    const places = { from, to }
    let swept: SweepResult | undefined
    const sleep = async (): Promise<void> => {
      swept = await sweepCluster({ graceMs: 0, isDryRun: false }, to, recordingContext())
    }
    const at = { operation: 'putIfAbsent', subject: `${newer}/head` } as const
    store.plan({ kind: 'delay', ms: 0, clock: { ...systemClock, sleep }, at })

    await copyListedDump(newer, places, recordingContext())

    assert.match(swept?.postponedFor ?? '', /copy of cluster "main"/)
    assert.deepEqual(await contentsOf(to, newer), await contentsOf(from, newer))
    const sweep = {
      clusterId: to.cluster.id,
      scope: 'sweep',
      purpose: 'sweep',
      holder: readProcessIdentity(),
    }
    await using _ = await acquireLease(to.repository, sweep, recordingContext())
    await assert.rejects(copyListedDump(older, places, recordingContext()), { code: 'busy' })
  })

  test('copies none while one is taken there, and says so', async () => {
    const { from, to } = await createTwo()
    await using _ = await acquireDumpLease(to, recordingContext())

    const { dumps, failures } = await transfer(from, to)

    assert.deepEqual(dumps, [])
    assert.deepEqual(told(failures), [
      [older, 'busy'],
      [newer, 'busy'],
    ])
  })
})

describe('runTransfer, of what is damaged of dumps,', () => {
  test('makes it whole, and leaves what was decided about them', async () => {
    for (const [name, harm] of [
      ['part-000004', spoil],
      ['part-000001', remove],
      ['head', spoil],
      ['head', remove],
    ] as const) {
      const { from, to } = await createTwo()
      await transfer(from, to)
      await decide(to, { kind: 'pin', label: older })
      const key = `${to.cluster.id}/dump/${older}/${name}`
      await harm(to, key)

      const { repaired, failures } = await transfer(from, to, { damaged: [key] })

      assert.deepEqual([repaired.dumps, failures], [[older], []])
      assert.deepEqual(await contentsOf(to, older), await contentsOf(from, older))
      assert.deepEqual(
        (await dumpsIn(to)).map(({ label, isPinned }) => [label, isPinned]),
        [
          [older, true],
          [newer, false],
        ],
      )
      assert.deepEqual((await transfer(from, to, { damaged: [key] })).repaired.dumps, [])
    }
  })

  test('takes from each what the other has damaged', async () => {
    const { from, to } = await createTwo()
    await transfer(from, to)
    const whole = await contentsOf(from, older)
    const key = dumpPartKey(to.cluster.id, { label: older, number: 3 })
    await spoil(to, key)
    await spoil(from, dumpPartKey(from.cluster.id, { label: older, number: 4 }))

    const { repaired, failures } = await transfer(from, to, { damaged: [key] })

    assert.deepEqual([repaired.dumps, failures], [[older], []])
    assert.deepEqual(await contentsOf(to, older), whole)
  })

  test('goes on where a repair ended that failed', async () => {
    const { from, to, store } = await createTwo()
    await transfer(from, to)
    const key = dumpPartKey(to.cluster.id, { label: older, number: 1 })
    await spoil(to, key)
    const at = { operation: 'putIfAbsent', subject: '/catalog/' } as const
    store.plan({ kind: 'fail', when: 'before', at, error: unreachable })
    await assert.rejects(transfer(from, to, { damaged: [key] }), { code: 'store-unreachable' })
    store.heal()

    assert.deepEqual((await transfer(from, to, { damaged: [key] })).failures, [])

    assert.deepEqual(await contentsOf(to, older), await contentsOf(from, older))
  })

  test('leaves alone what is damaged in both, or lies in one only, and says so', async () => {
    const { from, to } = await createTwo()
    await transfer(from, to)
    const keys = [older, newer].map((label) => dumpPartKey(to.cluster.id, { label, number: 1 }))
    const [first = '', second = ''] = keys
    for (const place of [from, to]) await spoil(place, first.replace(to.cluster.id, place.cluster.id))
    await spoil(to, second)
    await decide(from, { kind: 'remove-dumps', labels: [newer] })
    const before = await Promise.all(keys.map((key) => to.repository.store.get(key)))

    const { repaired, failures } = await transfer(from, to, { damaged: keys })

    assert.deepEqual(repaired.dumps, [])
    assert.deepEqual(told(failures), [
      [older, 'damaged'],
      [newer, 'not-found'],
    ])
    assert.deepEqual(await Promise.all(keys.map((key) => to.repository.store.get(key))), before)
  })
})

interface Two {
  readonly from: ArchivePlace
  readonly to: ArchivePlace
  /** Of the one that is copied to. */
  readonly store: FaultyStore
}

/** Two dumps in one repository, the older one of five parts. */
async function createTwo(): Promise<Two> {
  const store = memoryStore()
  const [from, to] = [await createPlace(), await createPlace({ store })]
  await storeDump(from, { label: older, contents: largeContents() }, recordingContext())
  await storeDump(from, { label: newer }, recordingContext())
  return { from, to, store }
}

/** Two parts that cannot be compressed and one that can. */
function largeContents(): Readonly<Record<string, Buffer>> {
  const random = seededRandom(1)
  const noise = Buffer.alloc(16 * mebibyte + 10)
  for (let offset = 0; offset < noise.length - 4; offset += 4) noise.writeUInt32LE(random(2 ** 32), offset)
  return { noise, zeroes: Buffer.alloc(3 * mebibyte) }
}

const labelOf = ({ label }: ListedDump): string => label

const told = (failures: TransferResult['failures']): readonly unknown[] =>
  failures.map(({ subject, error }) => [subject, error.code])

/** Heads differ by their seals, and with them a little in what they take. */
const withoutHead = ({ headDigest: _digest, storedBytes: _stored, ...dump }: ListedDump): object => dump

async function dumpsIn({ repository, cluster }: ArchivePlace): Promise<readonly ListedDump[]> {
  return (await readCatalogue(repository, cluster.id, recordingContext())).dumps
}

/** What each member holds, read as a load reads it, and what else is known. */
async function contentsOf(place: ArchivePlace, label: string): Promise<object> {
  const entry = (await dumpsIn(place)).find((dump) => dump.label === label) ?? assert.fail(label)
  const { members, facts, startedAt, stoppedAt } = await readDumpHead(place, entry, recordingContext())
  const contents: unknown[] = []
  for (const member of members) {
    const hash = createHash('sha256')
    for await (const bytes of readMember(place, { entry, member }, recordingContext())) hash.update(bytes)
    contents.push([member.name, member.kind, member.format, member.rawBytes, hash.digest('hex')])
  }
  const objects = (await keysOf(place, label)).map((key) => key.slice(place.cluster.id.length))
  return { contents, facts, startedAt, stoppedAt, objects }
}

async function keysOf({ repository, cluster }: ArchivePlace, label: string): Promise<readonly string[]> {
  const keys: string[] = []
  for await (const { key } of repository.store.list(`${cluster.id}/dump/${label}/`)) keys.push(key)
  return keys
}

const stored = ({ calls }: FaultyStore): readonly string[] =>
  calls
    .filter(({ operation, subject }) => operation === 'putIfAbsent' && !subject.includes('/lease/'))
    .map(({ subject }) => subject)

/** The smallest part is damaged by it, too. */
async function spoil({ repository }: ArchivePlace, key: string): Promise<void> {
  const bytes = (await repository.store.get(key)) ?? assert.fail(key)
  await replaceObject(repository, key, flipBit(bytes, 8 * 40))
}

async function remove({ repository }: ArchivePlace, key: string): Promise<void> {
  await repository.store.delete([key])
}

/** All parts are whole, and not what the head says of them. */
async function sayOtherDigest(place: ArchivePlace): Promise<void> {
  const { repository, cluster } = place
  const name = { kind: 'dump-head', key: dumpHeadKey(cluster.id, older) } as const
  const sealed = (await repository.store.get(name.key)) ?? assert.fail()
  const head = decodeDumpHead(openObject(repository, name, sealed), name.key)
  const members = head.members.map((member) =>
    member.name === 'app' ? { ...member, digest: 'ab'.repeat(16) } : member,
  )
  const other = sealObject(repository, name, encodeDumpHead({ ...head, members }))
  await replaceObject(repository, name.key, other)
  const [listed = assert.fail()] = await dumpsIn(place)
  const { isPinned: _, ...dump } = listed
  const headDigest = keyedDigest(repository.keys.namesKey, other)
  await decide(place, { kind: 'revise-dump', dump: { ...dump, headDigest } })
}
