import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { nameListKey } from '../src/repository/name-list-key.ts'
import { NameListWriter } from '../src/repository/name-list.ts'
import { toTimelineId } from '../src/domain/timeline.ts'
import { toLsn } from '../src/domain/lsn.ts'
import { storeWalIndex } from '../src/archive/stored-wal-index.ts'
import { walIndexKey } from '../src/archive/wal-index-key.ts'
import { parseWalObjectKey } from '../src/archive/wal-object-key.ts'
import { isOperationError, OperationError } from '../src/domain/operation-error.ts'
import { parseSegmentName } from '../src/domain/wal-segment.ts'
import { readProcessIdentity } from '../src/platform/process-identity.ts'
import { acquireLease } from '../src/repository/lease.ts'
import {
  catalogKey,
  catalogPrefix,
  clusterRecordKey,
  keySlotPrefix,
  packKey,
} from '../src/repository/object-keys.ts'
import type { Damage, DamageKind } from '../src/verify/damage.ts'
import type { VerifyScope } from '../src/verify/plan-verify.ts'
import { runVerify, type VerifyReport } from '../src/verify/run-verify.ts'
import { readVerifyState } from '../src/verify/verify-state-store.ts'
import { damagedLabels, provenAt } from '../src/verify/verify-state.ts'
import { scanSegment } from '../src/wal/scan-segment.ts'
import { FaultyStore } from './support/faulty-store.ts'
import { collect, flipBit, replaceObject } from './support/repository-samples.ts'
import { seededRandom } from './support/seeded-random.ts'
import {
  archiveHistory,
  archiveSegment,
  buildWal,
  change,
  createVerifySite,
  listBackup,
  mebibyte,
  monday,
  segmentName,
  siteContext,
  storePack,
  tuesday,
  type SiteContext,
  type VerifySite,
} from './verify-site.ts'

const everything: VerifyScope = { kind: 'everything' }
const day = 24 * 60 * 60 * 1000

const verify = (
  { place }: Pick<VerifySite, 'place'>,
  { context = siteContext(), scope = everything }: { context?: SiteContext; scope?: VerifyScope } = {},
): Promise<VerifyReport> => runVerify({ scope, workers: 2 }, place, context)

const stateOf = ({ place }: Pick<VerifySite, 'place'>) =>
  readVerifyState(place.repository, place.cluster.id, siteContext())

/** What a damage is and costs, in short. */
function brief({ key, kind, backups, lost }: Damage) {
  const moments = lost.map(({ fromLsn, until }) => [Number(fromLsn) / mebibyte, until?.backup])
  return { key, kind, backups, lost: moments }
}

const bytesAt = async ({ place }: VerifySite, key: string): Promise<Uint8Array> =>
  (await place.repository.store.get(key)) ?? assert.fail(`there is no "${key}"`)

const listKeys = async ({ place }: VerifySite, prefix: string): Promise<readonly string[]> =>
  (await collect(place.repository.store.list(prefix))).map(({ key }) => key)

const random = seededRandom(20_261_121)

/** What may happen to the bytes of an object. */
const mutations: Readonly<Record<string, (bytes: Uint8Array) => Uint8Array>> = {
  flipped: (bytes) => flipBit(bytes, random(bytes.length * 8)),
  zeroed: (bytes) => new Uint8Array(bytes.length),
  truncated: (bytes) => bytes.slice(0, -1),
  extended: (bytes) => Buffer.concat([bytes, new Uint8Array(1)]),
}

interface Kind {
  readonly kind: DamageKind
  readonly keyOf: (site: VerifySite) => string | Promise<string>
  readonly backups: readonly string[]
  readonly lost: readonly (readonly unknown[])[]
}

/** Monday's backup ends at segment 3.5, Tuesday's at 11.5. */
const kinds: Readonly<Record<string, Kind>> = {
  'a pack of two backups (X4)': {
    kind: 'pack',
    keyOf: ({ keys }) => keys.pack(monday, 1),
    backups: [monday, tuesday],
    lost: [[3.5, undefined]],
  },
  'a pack of the first backup': {
    kind: 'pack',
    keyOf: ({ keys }) => keys.pack(monday, 2),
    backups: [monday],
    lost: [[3.5, tuesday]],
  },
  'a pack of the second backup': {
    kind: 'pack',
    keyOf: ({ keys }) => keys.pack(tuesday, 1),
    backups: [tuesday],
    lost: [],
  },
  'the head of a manifest': {
    kind: 'manifest',
    keyOf: ({ keys }) => keys.manifest(tuesday),
    backups: [tuesday],
    lost: [],
  },
  'a part of a manifest': {
    kind: 'manifest',
    keyOf: ({ keys }) => keys.part(monday),
    backups: [monday],
    lost: [[3.5, tuesday]],
  },
  'the newest entry of the catalogue': {
    kind: 'catalogue',
    keyOf: ({ place }) => catalogKey(place.cluster.id, 2),
    backups: [monday],
    lost: [[3.5, undefined]],
  },
  'an older entry of the catalogue': {
    kind: 'catalogue',
    keyOf: ({ place }) => catalogKey(place.cluster.id, 1),
    backups: [],
    lost: [],
  },
  "a segment of a backup's own WAL": {
    kind: 'wal',
    keyOf: ({ keys }) => keys.segment(2),
    backups: [monday],
    lost: [[2, tuesday]],
  },
  'a segment between two backups': {
    kind: 'wal',
    keyOf: ({ keys }) => keys.segment(7),
    backups: [],
    lost: [[7, tuesday]],
  },
  'a segment after the last backup': {
    kind: 'wal',
    keyOf: ({ keys }) => keys.segment(16),
    backups: [],
    lost: [[16, undefined]],
  },
}

describe('verify', () => {
  test('proves a repository that is as it should be, and remembers it', async () => {
    const site = await createVerifySite()
    const context = siteContext()

    const report = await verify(site, { context })

    assert.deepEqual(report.damage, [])
    assert.equal(report.proven.storedBytes, report.storedBytes)
    assert.equal(report.proven.rawBytes, 19 * mebibyte + 20_000 + 4 + 10_000 + 500)
    assert.deepEqual(report.unreferenced, { packs: 0, bytes: 0 })
    const state = await stateOf(site)
    assert.equal(state?.lastCompletedAtMs, context.time.nowMs)
    assert.equal(state.oldestProofAtMs, context.time.nowMs)
    assert.equal(provenAt(state, monday), context.time.nowMs)
    assert.equal(provenAt(state, tuesday), context.time.nowMs)
  })

  test('proves one without encryption too', async () => {
    const site = await createVerifySite({ isSealed: false })
    assert.deepEqual((await verify(site)).damage, [])

    const key = site.keys.pack(monday, 1)
    await replaceObject(site.place.repository, key, flipBit(await bytesAt(site, key), 400))

    assert.deepEqual((await verify(site)).damage.map(brief), [
      { key, kind: 'pack', backups: [monday, tuesday], lost: [[3.5, undefined]] },
    ])
  })

  test('proves a repository without backups', async () => {
    const site = await createVerifySite()
    await change(site.place, { kind: 'remove', labels: [monday, tuesday], ownWal: [] })

    const report = await verify(site)

    assert.deepEqual(report.damage, [])
    assert.equal(report.unreferenced.packs, 3)
  })

  for (const [what, { kind, keyOf, backups, lost }] of Object.entries(kinds)) {
    describe(`names ${what}, and what it costs,`, () => {
      for (const [how, mutate] of Object.entries(mutations)) {
        test(`when it is ${how} (X1)`, async () => {
          const site = await createVerifySite()
          const key = await keyOf(site)
          await replaceObject(site.place.repository, key, mutate(await bytesAt(site, key)))

          const { damage } = await verify(site)

          // The size of a pack is known from the manifest; its content is another matter.
          assert.deepEqual(damage.map(brief), [{ key, kind, backups, lost }])
          assert.deepEqual([...damagedLabels(await stateOf(site))], backups)
          for (const label of [monday, tuesday].filter((each) => backups.includes(each)))
            assert.equal(provenAt(await stateOf(site), label), undefined)
        })
      }
    })
  }

  test('names packs that were swapped', async () => {
    const site = await createVerifySite()
    const [one, other] = [site.keys.pack(monday, 1), site.keys.pack(monday, 2)]
    const [first, second] = [await bytesAt(site, one), await bytesAt(site, other)]
    await replaceObject(site.place.repository, one, second)
    await replaceObject(site.place.repository, other, first)

    const { damage } = await verify(site)

    assert.deepEqual(new Set(damage.map(({ key }) => key)), new Set([one, other]))
  })

  test('names a pack that is another one than the backups mean, though it is whole', async () => {
    const site = await createVerifySite()
    const key = site.keys.pack(monday, 2)
    const size = (await bytesAt(site, key)).length
    await site.place.repository.store.delete([key])
    await storePack(site.place, { label: monday, number: 2, units: ['o'.repeat(10_000)] })

    const { damage } = await verify(site)

    assert.equal((await bytesAt(site, key)).length, size)
    assert.deepEqual(damage.map(brief), [{ key, kind: 'pack', backups: [monday], lost: [[3.5, tuesday]] }])
    assert.match(damage[0]?.problem ?? '', /not the pack that the backups mean/)
  })

  for (const [what, { lengths, unit, expected }] of Object.entries({
    'more of a unit than there is': {
      lengths: [20_001],
      unit: 0,
      expected: /20001 bytes of unit 0 are needed, it has 20000/,
    },
    'a unit that is not there': { lengths: [1], unit: 2, expected: /unit 2 is needed, it has 2 units/ },
    'a unit that no pack can have': { lengths: [1], unit: 2 ** 40, expected: /unit 1099511627776 is needed/ },
  })) {
    test(`names a manifest that wants ${what}`, async () => {
      const site = await createVerifySite()
      const packs = site.mondayPacks.slice(0, 1)
      const label = '20260218-153000F' as typeof monday
      await listBackup(site.place, {
        label,
        packs,
        from: 12.5,
        to: 13.5,
        time: '2026-02-18T15:30',
        lengths,
        unit,
      })

      const { damage } = await verify(site)

      assert.match(damage[0]?.problem ?? '', expected)
      assert.deepEqual(damage[0]?.backups, [monday, tuesday, label])
      assert.equal(damage.length, 1)
    })
  }

  describe('names what is missing and what it costs:', () => {
    for (const [what, keyName] of Object.entries({
      'a pack of two backups': 'a pack of two backups (X4)',
      'the head of a manifest (X6)': 'the head of a manifest',
      'a part of a manifest': 'a part of a manifest',
      'an older entry of the catalogue': 'an older entry of the catalogue',
    })) {
      test(what, async () => {
        const site = await createVerifySite()
        const { kind, keyOf, backups, lost } = kinds[keyName] ?? assert.fail()
        const key = await keyOf(site)
        // The oldest entries may be deleted: what is missing then is one with an older one before it.
        if (kind === 'catalogue') {
          await change(site.place, { kind: 'fence' })
          await site.place.repository.store.delete([catalogKey(site.place.cluster.id, 2)])
        } else await site.place.repository.store.delete([key])

        const { damage } = await verify(site)

        const expected = kind === 'catalogue' ? catalogKey(site.place.cluster.id, 2) : key
        assert.deepEqual(damage.map(brief), [{ key: expected, kind, backups, lost }])
      })
    }

    for (const { title, numbers, backups, lost } of [
      { title: 'WAL of a backup', numbers: [3], backups: [monday], lost: [[3, tuesday]] },
      { title: 'the first WAL of a backup', numbers: [2], backups: [monday], lost: [[2, tuesday]] },
      { title: 'WAL between backups', numbers: [5, 6, 7], backups: [], lost: [[5, tuesday]] },
      { title: 'WAL after the last backup', numbers: [19], backups: [], lost: [[19, undefined]] },
    ]) {
      test(title, async () => {
        const site = await createVerifySite()
        await site.place.repository.store.delete(numbers.map((number) => site.keys.segment(number)))

        const { damage } = await verify(site)

        const { id } = site.place.cluster
        const key = `${id}/wal/00000001/00000000/${segmentName(numbers[0] ?? 0)}`
        assert.deepEqual(damage.map(brief), [{ key, kind: 'wal-missing', backups, lost }])
      })
    }
  })

  test('takes WAL that no backup needs for no damage when it is missing (R67)', async () => {
    const site = await createVerifySite()
    await change(site.place, { kind: 'remove', labels: [], ownWal: [monday] })
    await site.place.repository.store.delete([5, 6, 7].map((number) => site.keys.segment(number)))

    assert.deepEqual((await verify(site)).damage, [])
  })

  test('names records that do not hang together across two segments', async () => {
    const site = await createVerifySite()
    const other = buildOtherWal()
    for (const number of [15, 16]) {
      await site.place.repository.store.delete([site.keys.segment(number)])
    }
    // Groups end with segment 15: the link that is broken is that between two groups.
    const kept = await archiveSegment(site.place, segmentName(15), other[14] ?? assert.fail())
    const broken = await archiveSegment(site.place, segmentName(16), wal[15] ?? assert.fail())

    const { damage } = await verify(site)

    assert.deepEqual(
      damage.map(({ key, kind }) => `${kind} ${key}`).toSorted(),
      [kept, broken].map((key) => `wal-records ${key}`),
    )
  })

  test('names a segment that its server archived with a wrong record', async () => {
    const site = await createVerifySite()
    await site.place.repository.store.delete([site.keys.segment(6)])
    const bytes = flipBit(wal[5] ?? assert.fail(), 8 * 500_000)
    const key = await archiveSegment(site.place, segmentName(6), bytes)

    const { damage } = await verify(site)

    assert.deepEqual(damage.map(brief), [{ key, kind: 'wal-records', backups: [], lost: [[6, tuesday]] }])
    assert.match(damage[0]?.problem ?? '', /does not match its CRC/)
  })

  test('lets the newest segment end early, and no other (M4)', async () => {
    const site = await createVerifySite()
    const unfinished = new Uint8Array(wal[19] ?? assert.fail())
    unfinished.fill(0, mebibyte / 2)
    await site.place.repository.store.delete([site.keys.segment(20)])
    await archiveSegment(site.place, segmentName(20), unfinished)

    assert.deepEqual((await verify(site)).damage, [])

    await archiveSegment(site.place, segmentName(21), buildWal(21)[20] ?? assert.fail())
    const kindsFound = (await verify(site)).damage.map(({ kind }) => kind)
    assert.deepEqual(kindsFound, ['wal-records'])
  })

  test('names two contents of one segment', async () => {
    const site = await createVerifySite()
    const other = buildOtherWal()
    await archiveSegment(site.place, segmentName(7), other[6] ?? assert.fail())

    const { damage } = await verify(site)

    const key = `${site.place.cluster.id}/wal/00000001/00000000/${segmentName(7)}`
    assert.deepEqual(damage.map(brief), [{ key, kind: 'wal-conflict', backups: [], lost: [[7, tuesday]] }])
  })

  test('names a damaged history file (X5)', async () => {
    const site = await createVerifySite()
    const key = await archiveHistory(site.place, '00000002.history', '1\t0/1400000\tno recovery target\n')
    assert.deepEqual((await verify(site)).damage, [])

    await replaceObject(site.place.repository, key, flipBit(await bytesAt(site, key), 300))
    const { damage } = await verify(site)

    assert.deepEqual(damage.map(brief), [{ key, kind: 'history', backups: [], lost: [[11.5, undefined]] }])
  })

  test('names a damaged index of a segment, which costs nothing, and lets go of it when it is gone', async () => {
    const site = await createVerifySite()
    const { repository, cluster } = site.place
    const [, content] = buildWal(2)
    const archived = parseWalObjectKey(cluster.id, site.keys.segment(2))
    assert.ok(content && archived)
    const { startLsn } = parseSegmentName(archived.name.name, cluster.walSegmentSize)
    const contents = scanSegment(content, { startLsn })
    await storeWalIndex({ ...archived, contents }, site.place, siteContext())
    const key = walIndexKey(cluster.id, archived)
    await repository.store.putIfAbsent(`${key}0`, Buffer.from('of another version'))
    const whole = await verify(site)

    await replaceObject(repository, key, flipBit(await bytesAt(site, key), 300))
    const { damage } = await verify(site)
    await repository.store.delete([key])

    assert.deepEqual([whole.damage, whole.unknownObjects], [[], 1])
    assert.deepEqual(damage.map(brief), [{ key, kind: 'wal-index', backups: [], lost: [] }])
    assert.deepEqual((await verify(site)).damage, [])
  })

  test('names a damaged list of names, which costs nothing, and lets go of it when it is gone', async () => {
    const site = await createVerifySite()
    const { repository, cluster } = site.place
    const moment = { timeline: toTimelineId(1), lsn: toLsn(0x200_0028n) }
    const writer = new NameListWriter(repository, cluster.id, moment)
    writer.addDatabase({ oid: 5, name: 'shop', problem: '' })
    await writer.finish(siteContext())
    const key = nameListKey(cluster.id, moment)
    const whole = await verify(site)

    await replaceObject(repository, key, flipBit(await bytesAt(site, key), 300))
    const { damage } = await verify(site)
    await repository.store.delete([key])

    assert.deepEqual(whole.damage, [])
    assert.deepEqual(damage.map(brief), [{ key, kind: 'name-list', backups: [], lost: [] }])
    assert.deepEqual((await verify(site)).damage, [])
  })

  test('names a damaged key slot and a damaged revision of the cluster record', async () => {
    const site = await createVerifySite()
    const { repository, cluster } = site.place
    const [slot = assert.fail()] = await listKeys(site, keySlotPrefix)
    await repository.store.putIfAbsent(`${slot}x`, (await bytesAt(site, slot)).slice(0, -1))
    const record = clusterRecordKey(cluster.id, 2)
    await repository.store.putIfAbsent(record, await bytesAt(site, clusterRecordKey(cluster.id, 1)))

    const { damage } = await verify(site)

    assert.deepEqual(damage.map(brief), [
      { key: `${slot}x`, kind: 'key-slot', backups: [], lost: [] },
      { key: record, kind: 'cluster-record', backups: [], lost: [] },
    ])
  })

  test('counts a sector that cannot be read as damage of its object', async () => {
    const site = await createVerifySite()
    const store = new FaultyStore(site.place.repository.store)
    const cause = Object.assign(new Error('EIO: i/o error'), { code: 'EIO' })
    const error = new OperationError('store-failed', 'reading "x": i/o error', { cause })
    store.plan({
      kind: 'fail',
      error,
      when: 'before',
      at: { operation: 'get', subject: site.keys.pack(tuesday, 1) },
    })
    const place = { ...site.place, repository: { ...site.place.repository, store } }

    const { damage } = await verify({ place })

    assert.deepEqual(
      damage.map(({ key, backups }) => [key, backups]),
      [[site.keys.pack(tuesday, 1), [tuesday]]],
    )
  })

  for (const code of ['store-unreachable', 'store-failed'] as const) {
    test(`fails when the store does not answer (${code}), and blames nothing for it`, async () => {
      const site = await createVerifySite()
      const store = new FaultyStore(site.place.repository.store)
      const cause = Object.assign(new Error('ENFILE'), { code: 'ENFILE' })
      const error = new OperationError(code, 'reading "x": it does not answer', { cause })
      store.plan({ kind: 'fail', error, when: 'before', at: { operation: 'get', subject: '/data/' } })
      const place = { ...site.place, repository: { ...site.place.repository, store } }

      await assert.rejects(verify({ place }), (thrown) => isOperationError(thrown, code))
      assert.deepEqual((await stateOf(site))?.damage ?? [], [])
    })
  }
})

describe('the memory of verify', () => {
  test('forgets a damage that was healed, and knows since when another one is there', async () => {
    const site = await createVerifySite()
    const context = siteContext()
    const keys = [site.keys.pack(monday, 1), site.keys.segment(7)] as const
    const whole = await Promise.all(keys.map((key) => bytesAt(site, key)))
    for (const [index, key] of keys.entries())
      await replaceObject(site.place.repository, key, flipBit(whole[index] ?? assert.fail(), 999))
    assert.equal((await verify(site, { context })).damage.length, 2)
    const firstAtMs = context.time.nowMs

    context.time.nowMs += day
    await replaceObject(site.place.repository, keys[0], whole[0] ?? assert.fail())
    const { damage } = await verify(site, { context })

    assert.deepEqual(
      damage.map(({ key, foundAtMs, seenAtMs }) => [key, foundAtMs, seenAtMs]),
      [[keys[1], firstAtMs, context.time.nowMs]],
    )
    assert.equal(provenAt(await stateOf(site), monday), context.time.nowMs)
  })

  test('keeps a damage that a sample did not come to', async () => {
    const site = await createVerifySite()
    const context = siteContext()
    const key = site.keys.segment(7)
    await replaceObject(site.place.repository, key, flipBit(await bytesAt(site, key), 999))
    await verify(site, { context })

    context.time.nowMs += day
    const sampled = await verify(site, { context, scope: { kind: 'sample', percent: 1 } })

    assert.deepEqual(
      sampled.damage.map((damage) => damage.key),
      [key],
    )
    const deleted = await createVerifySite()
    assert.deepEqual((await verify(deleted, { context })).damage, [])
  })

  test('proves everything with ten samples of a tenth', async () => {
    const site = await createVerifySite()
    const context = siteContext()
    for (let index = 0; index < 10; index += 1) {
      context.time.nowMs += day
      await verify(site, { context, scope: { kind: 'sample', percent: 10 } })
    }

    const state = await stateOf(site)
    assert.ok(state?.oldestProofAtMs !== undefined)
    assert.equal(state.lastCompletedAtMs, undefined)
    assert.ok(provenAt(state, monday) !== undefined && provenAt(state, tuesday) !== undefined)
  })

  test('goes on with a run that was interrupted, unless it is told to begin anew or a week has passed', async () => {
    const site = await createVerifySite()
    const context = await interruptedRun(site)
    const interrupted = await stateOf(site)
    assert.ok(interrupted?.runStartedAtMs !== undefined && interrupted.groups.length > 0)

    context.time.nowMs += 1000
    const again = await verify(site, { context, scope: { kind: 'sample', percent: 1 } })
    assert.equal(again.passedOverBytes, 0)
    context.time.nowMs += 1000
    const resumed = await verify(site, { context })
    assert.ok(resumed.passedOverBytes > 0)
    assert.equal(resumed.proven.storedBytes + resumed.passedOverBytes, resumed.storedBytes)
    assert.equal((await stateOf(site))?.runStartedAtMs, undefined)

    const other = await createVerifySite()
    const otherContext = await interruptedRun(other)
    assert.equal((await verify(other, { context: otherContext, scope: { kind: 'anew' } })).passedOverBytes, 0)

    const old = await createVerifySite()
    const oldContext = await interruptedRun(old)
    oldContext.time.nowMs += 8 * day
    assert.equal((await verify(old, { context: oldContext })).passedOverBytes, 0)
  })

  test('lets only one run at a time', async () => {
    const site = await createVerifySite()
    const request = {
      clusterId: site.place.cluster.id,
      scope: 'verify',
      purpose: 'a test',
      holder: readProcessIdentity(),
    }
    await using lease = await acquireLease(site.place.repository, request, siteContext())

    await assert.rejects(verify(site), (error) => isOperationError(error, 'busy'))
    await lease.confirm()
  })

  test('is done without when the store cannot be written', async () => {
    const site = await createVerifySite()
    const store = new FaultyStore(site.place.repository.store)
    const error = new OperationError('store-failed', 'writing "x": the file system is read-only')
    store.plan({ kind: 'fail', error, when: 'before', at: { operation: 'putIfAbsent' } })
    const place = { ...site.place, repository: { ...site.place.repository, store } }
    const context = siteContext()

    const report = await verify({ place }, { context })

    assert.deepEqual(report.damage, [])
    assert.equal(report.isRemembered, false)
    assert.equal(context.events.filter(({ kind }) => kind === 'warning').length, 1)
    assert.equal(await stateOf(site), undefined)
  })
})

describe('verify, while others change the repository,', () => {
  test('does not miss what a backup that was removed had', async () => {
    const site = await createVerifySite()
    const { repository } = site.place
    const context = duringManifests(async () => {
      await change(site.place, { kind: 'remove', labels: [monday], ownWal: [] })
      await repository.store.delete([
        site.keys.pack(monday, 2),
        site.keys.part(monday),
        site.keys.manifest(monday),
      ])
      await repository.store.delete([2, 3, 4].map((number) => site.keys.segment(number)))
    })

    assert.deepEqual((await verify(site, { context })).damage, [])
  })

  test('does not take the packs of a running backup for damage', async () => {
    const site = await createVerifySite()
    const label = '20260218-153000F' as typeof monday
    await storePack(site.place, { label, number: 1, units: ['new'] })
    const context = duringManifests(async () => {
      const packs = [await storePack(site.place, { label, number: 2, units: ['newer'] })]
      await listBackup(site.place, { label, packs, from: 12.5, to: 13.5, time: '2026-02-18T15:30' })
      await site.place.repository.store.delete([packKey(site.place.cluster.id, { label, number: 1 })])
    })

    const report = await verify(site, { context })

    assert.deepEqual(report.damage, [])
    assert.equal(report.unreferenced.packs, 1)
  })

  test('notices that a pack has gone since it was listed', async () => {
    const site = await createVerifySite()
    const key = site.keys.pack(monday, 1)
    const context = duringManifests(() => site.place.repository.store.delete([key]))

    const { damage } = await verify(site, { context })

    assert.deepEqual(damage.map(brief), [
      { key, kind: 'pack', backups: [monday, tuesday], lost: [[3.5, undefined]] },
    ])
  })

  test('does not miss entries of the catalogue that were removed', async () => {
    const site = await createVerifySite()
    await site.place.repository.store.delete([catalogKey(site.place.cluster.id, 1)])

    assert.deepEqual((await verify(site)).damage, [])
    assert.deepEqual(await listKeys(site, catalogPrefix(site.place.cluster.id)), [
      catalogKey(site.place.cluster.id, 2),
    ])
  })
})

const wal = buildWal(20)

/** As another server would have written them from the same beginning. */
const buildOtherWal = (): readonly Uint8Array[] => buildWal(20, 29_000)

/** A context that acts once, when the catalogue was read and everything was listed. */
function duringManifests(act: () => Promise<void>): SiteContext {
  const context = siteContext()
  let acting: Promise<void> | undefined
  return {
    ...context,
    report: (event) => {
      if (event.kind === 'progress' && event.phase === 'reading manifests') acting ??= act()
      context.report(event)
    },
  }
}

/** A run that was killed after it had saved what it had proven. Gives a context that goes on from there. */
async function interruptedRun(site: VerifySite): Promise<SiteContext> {
  const stopping = new AbortController()
  const context = siteContext(stopping.signal)
  let hasMoved = false
  const monotonic = (): number => context.clock.monotonic() + (hasMoved ? 31_000 : 0)
  const store = new FaultyStore(site.place.repository.store)
  store.plan({
    kind: 'fail',
    error: new OperationError('store-unreachable', 'reading "x": it does not answer'),
    when: 'before',
    at: { operation: 'get', subject: site.keys.segment(17) },
  })
  const place = { ...site.place, repository: { ...site.place.repository, store } }
  const hurried: SiteContext = {
    ...context,
    clock: { ...context.clock, now: () => context.time.nowMs, monotonic },
    report: (event) => {
      hasMoved ||= event.kind === 'progress' && event.phase === 'verifying'
    },
  }
  await assert.rejects(runVerify({ scope: everything, workers: 1 }, place, hurried))
  return { ...context, signal: new AbortController().signal }
}
