import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { ArchivePlace } from '../src/archive/archive-place.ts'
import { keyedDigest } from '../src/codec/keyed-digest.ts'
import { parseBackupLabel } from '../src/domain/backup-label.ts'
import { changeCatalogue } from '../src/repository/catalogue.ts'
import { decodeDumpHead, encodeDumpHead } from '../src/repository/dump-head.ts'
import { dumpHeadKey, dumpPartKey } from '../src/repository/object-keys.ts'
import { openObject, sealObject } from '../src/repository/sealed-store.ts'
import type { VerifyScope } from '../src/verify/plan-verify.ts'
import { runVerify, type VerifyReport } from '../src/verify/run-verify.ts'
import { damagedLabels, provenAt } from '../src/verify/verify-state.ts'
import { readVerifyState } from '../src/verify/verify-state-store.ts'
import { createPlace } from './support/archive-fixture.ts'
import { testContext } from './support/repository.ts'
import { flipBit, replaceObject } from './support/repository-samples.ts'
import { storeDump } from './support/stored-dump.ts'

const older = parseBackupLabel('20260219-130000L')
const newer = parseBackupLabel('20260220-130000L')
const context = testContext()
const confirm = (): Promise<void> => Promise.resolve()

async function createSite(): Promise<ArchivePlace> {
  const place = await createPlace()
  for (const label of [older, newer]) await storeDump(place, { label }, context)
  return place
}

const verify = (place: ArchivePlace, scope: VerifyScope = { kind: 'anew' }): Promise<VerifyReport> =>
  runVerify({ scope, workers: 1 }, place, context)

const told = ({ damage }: VerifyReport): readonly unknown[] =>
  damage.map(({ key, kind, backups, lost }) => [key, kind, backups, lost])

const bytesAt = async ({ repository }: ArchivePlace, key: string): Promise<Uint8Array> =>
  (await repository.store.get(key)) ?? assert.fail(key)

const partOf = ({ cluster }: ArchivePlace, number: number): string =>
  dumpPartKey(cluster.id, { label: older, number })

describe('verify', () => {
  test('proves dumps, and remembers it', async () => {
    const place = await createSite()
    const report = await verify(place)
    const state = await readVerifyState(place.repository, place.cluster.id, context)

    assert.deepEqual(report.damage, [])
    assert.equal(report.proven.rawBytes, 2 * 32)
    assert.ok(report.storedBytes > 1000 && report.proven.storedBytes === report.storedBytes)
    for (const label of [older, newer]) assert.ok(provenAt(state, label) !== undefined)
    assert.deepEqual(
      state?.groups.map(({ group, objects }) => [group, objects]),
      [
        [`dumps/${older}`, 3],
        [`dumps/${newer}`, 3],
      ],
    )
  })

  test('says which dump a damaged or missing part costs, until it is whole again', async () => {
    const place = await createSite()
    const [first, second] = [partOf(place, 1), partOf(place, 2)]
    const whole = { first: await bytesAt(place, first), second: await bytesAt(place, second) }
    await replaceObject(place.repository, first, flipBit(whole.first, 400))
    await place.repository.store.delete([second])
    const costs = [[older], []]
    assert.deepEqual(told(await verify(place)), [
      [first, 'dump', ...costs],
      [second, 'dump', ...costs],
    ])
    const state = await readVerifyState(place.repository, place.cluster.id, context)
    assert.deepEqual([...damagedLabels(state)], [older])
    assert.equal(provenAt(state, older), undefined)
    assert.ok(provenAt(state, newer) !== undefined)

    await replaceObject(place.repository, first, whole.first)
    await place.repository.store.putIfAbsent(second, whole.second)
    assert.deepEqual(told(await verify(place, { kind: 'everything' })), [])
  })

  test('finds a head that is gone, also when nothing of the dump is there', async () => {
    const place = await createSite()
    const head = dumpHeadKey(place.cluster.id, older)
    await place.repository.store.delete([head])
    assert.deepEqual(told(await verify(place)), [[head, 'dump', [older], []]])

    await place.repository.store.delete([partOf(place, 1), partOf(place, 2)])
    assert.deepEqual(told(await verify(place)), [[head, 'dump', [older], []]])
  })

  test('finds whole parts that are not the bytes that were dumped', async () => {
    const place = await createSite()
    const { repository, cluster } = place
    const name = { kind: 'dump-head', key: dumpHeadKey(cluster.id, older) } as const
    const head = decodeDumpHead(openObject(repository, name, await bytesAt(place, name.key)), name.key)
    const members = head.members.map((member) => ({ ...member, digest: 'ab'.repeat(16) }))
    const sealed = sealObject(repository, name, encodeDumpHead({ ...head, members }))
    await replaceObject(repository, name.key, sealed)
    const { id: clusterId } = cluster
    const { dumps } = await changeCatalogue(
      repository,
      { clusterId, change: { kind: 'remove-dumps', labels: [older] }, confirm },
      context,
    )
    const [other = assert.fail()] = dumps
    const headDigest = keyedDigest(repository.keys.namesKey, sealed)
    const change = { kind: 'publish-dump', dump: { ...other, label: older, headDigest } } as const
    await changeCatalogue(repository, { clusterId, change, confirm }, context)

    const { damage } = await verify(place)
    assert.deepEqual(
      damage.map(({ key, backups }) => [key, backups]),
      [[name.key, [older]]],
    )
    assert.match(damage[0]?.problem ?? '', /the bytes of its member "app" are not those that were dumped/)
  })

  test('forgets the damage of a dump that was removed, and takes no notice of one that is not listed', async () => {
    const place = await createSite()
    await replaceObject(place.repository, partOf(place, 1), Buffer.from('not a part'))
    await storeDump(place, { label: '20260221-130000L', isListed: false }, context)
    assert.equal((await verify(place)).damage.length, 1)
    const { repository, cluster } = place
    const change = { kind: 'remove-dumps', labels: [older] } as const
    await changeCatalogue(repository, { clusterId: cluster.id, change, confirm }, context)
    const report = await verify(place, { kind: 'sample', percent: 1 })

    assert.deepEqual(report.damage, [])
    assert.deepEqual(report.unknownObjects, 0)
  })
})
