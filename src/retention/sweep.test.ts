import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { isOperationError } from '../domain/operation-error.ts'
import { readProcessIdentity } from '../platform/process-identity.ts'
import { changeCatalogue, readCatalogue } from '../repository/catalogue.ts'
import { acquireLease } from '../repository/lease.ts'
import { catalogKey, manifestKey, sweepKey } from '../repository/object-keys.ts'
import { createPlace } from '../../test/support/archive-fixture.ts'
import { FaultyStore, type Fault } from '../../test/support/faulty-store.ts'
import { ManualClock } from '../../test/support/manual-clock.ts'
import { testContext } from '../../test/support/repository.ts'
import { MemoryStore } from '../storage/memory/memory-store.ts'
import {
  listKeys,
  storeBackup,
  storeBackupManifest,
  storedIndexKey,
  storedWalKey,
  storePacks,
  storeWal,
} from '../../test/support/stored-cluster.ts'
import { parseBackupLabel, type BackupLabel } from '../domain/backup-label.ts'
import { toLsn } from '../domain/lsn.ts'
import { toTimelineId } from '../domain/timeline.ts'
import { nameListKey } from '../repository/name-list-key.ts'
import type { ArchivePlace } from '../archive/archive-place.ts'
import type { RunContext } from '../domain/run-context.ts'
import { defaultGraceMs, sweepCluster, type SweepResult } from './sweep.ts'

const older = parseBackupLabel('20260219-120000F')
const newer = parseBackupLabel('20260220-120000F')
const hourMs = 3_600_000
const allowed = (): Promise<void> => Promise.resolve()
const isDamaged = (error: unknown): boolean => isOperationError(error, 'damaged')

interface Site {
  readonly place: ArchivePlace
  readonly context: RunContext
  readonly clock: ManualClock
}

/** Two backups, WAL from before the first to behind the second. */
async function createSite(): Promise<Site> {
  const clock = new ManualClock()
  const context = testContext({ clock })
  const place = await createPlace({ store: new MemoryStore('sweep', clock) })
  await storeWal(place, { from: 1, to: 9 }, context)
  await storeBackup(place, { label: older, firstSegment: 2, lastSegment: 3 }, context)
  await storeBackup(place, { label: newer, firstSegment: 6, lastSegment: 6 }, context)
  return { place, context, clock }
}

function sweep(
  { place, context }: Site,
  changes: { graceMs?: number; isDryRun?: boolean } = {},
): Promise<SweepResult> {
  return sweepCluster({ graceMs: defaultGraceMs, isDryRun: false, ...changes }, place, context)
}

/** One of two backups has expired, and its grace is over. */
async function createKeepingSite(
  faults: readonly Fault[],
): Promise<{ readonly site: Site; readonly store: FaultyStore }> {
  const { place, ...rest } = await createSite()
  const store = new FaultyStore(place.repository.store)
  const site = { ...rest, place: { ...place, repository: { ...place.repository, store } } }
  await remove(site, [older])
  await sweep(site)
  site.clock.skip(defaultGraceMs)
  store.plan(...faults)
  return { site, store }
}

async function remove({ place, context }: Site, labels: readonly BackupLabel[]): Promise<void> {
  const change = { kind: 'remove', labels, ownWal: [] } as const
  const { repository, cluster } = place
  await changeCatalogue(repository, { clusterId: cluster.id, change, confirm: allowed }, context)
}

const counts = ({ manifest, pack, wal }: SweepResult['deleted']): readonly number[] => [
  manifest.count,
  pack.count,
  wal.count,
]

describe('a sweep', () => {
  test('marks first and deletes after the grace: manifests, packs, and WAL that no backup needs (R66)', async () => {
    const site = await createSite()
    await remove(site, [older])
    const marked = await sweep(site)
    assert.deepEqual(counts(marked.deleted), [0, 0, 0])
    assert.deepEqual(counts(marked.waiting), [1, 1, 5])
    assert.equal(marked.nextDueAtMs, site.clock.now() + defaultGraceMs)

    site.clock.skip(defaultGraceMs - 1)
    assert.deepEqual(counts((await sweep(site)).deleted), [0, 0, 0])
    site.clock.skip(1)
    const swept = await sweep(site)
    assert.deepEqual(counts(swept.deleted), [1, 1, 5])
    assert.deepEqual(counts(swept.waiting), [0, 0, 0])
    assert.deepEqual(await listKeys(site.place, 'data'), [`${newer}/000001`])
    assert.deepEqual(await listKeys(site.place, 'backup'), [`${newer}/0001/manifest`])
    assert.equal((await listKeys(site.place, 'wal')).length, 4)
    assert.deepEqual(counts((await sweep(site)).deleted), [0, 0, 0])
  })

  test('counts nothing as deleted that the store keeps as versions, and forgets it (N13)', async () => {
    const { site } = await createKeepingSite([{ kind: 'keep', reason: 'version', at: { subject: '/data/' } }])

    const swept = await sweep(site)

    assert.deepEqual(counts(swept.deleted), [1, 0, 5])
    assert.equal(swept.kept.length, 1)
    assert.deepEqual([swept.kept[0]?.reason, swept.kept[0]?.count], ['version', 1])
    assert.deepEqual((await sweep(site)).kept, [])
  })

  test('goes on with the others when the store refuses some, and tries those again (N13)', async () => {
    const { site, store } = await createKeepingSite([
      { kind: 'keep', reason: 'forbidden', at: { subject: '/wal/' } },
    ])

    const refused = await sweep(site)
    const again = await sweep(site)
    store.heal()
    const done = await sweep(site)

    assert.deepEqual(counts(refused.deleted), [1, 1, 0])
    assert.deepEqual(
      refused.kept.map(({ reason, count }) => [reason, count]),
      [['forbidden', 5]],
    )
    assert.deepEqual(again.kept, refused.kept)
    assert.deepEqual(counts(done.deleted), [0, 0, 5])
    assert.deepEqual(done.kept, [])
    const { repository, cluster } = site.place
    assert.equal((await readCatalogue(repository, cluster.id, site.context)).backups.length, 1)
  })

  test('deletes the index of a segment with the segment, and no other (R67)', async () => {
    const site = await createSite()
    const { store } = site.place.repository
    const foreign = `${site.place.cluster.id}/index/00000001/00000000/notes`
    for (const number of [1, 3, 7])
      await store.putIfAbsent(storedIndexKey(site.place, 1, number), Buffer.from('index'))
    await store.putIfAbsent(foreign, Buffer.from('x'))
    await remove(site, [older])
    await sweep(site)
    site.clock.skip(defaultGraceMs)

    assert.deepEqual(counts((await sweep(site)).deleted), [1, 1, 7])
    const left = await listKeys(site.place, 'index')
    assert.deepEqual(
      left.map((key) => `${site.place.cluster.id}/index/${key}`),
      [storedIndexKey(site.place, 1, 7), foreign],
    )
  })

  test('deletes a list of names with the segment that was written then, and no other (R67)', async () => {
    const site = await createSite()
    const { repository, cluster } = site.place
    const keyAt = (timeline: number, segment: number): string =>
      nameListKey(cluster.id, {
        timeline: toTimelineId(timeline),
        lsn: toLsn(BigInt(segment * cluster.walSegmentSize + 40)),
      })
    const foreign = `${cluster.id}/names/00000001/notes`
    for (const key of [keyAt(1, 1), keyAt(1, 3), keyAt(1, 7), foreign])
      await repository.store.putIfAbsent(key, Buffer.from('names'))
    await remove(site, [older])
    await sweep(site)
    site.clock.skip(defaultGraceMs)

    assert.deepEqual(counts((await sweep(site)).deleted), [1, 1, 7])
    const left = await listKeys(site.place, 'names')
    assert.deepEqual(
      left.map((key) => `${cluster.id}/names/${key}`),
      [keyAt(1, 7), foreign],
    )
  })

  test('counts the grace from the first sweep that found an object, each for itself', async () => {
    const site = await createSite()
    await sweep(site) // segment 1
    site.clock.skip(20 * hourMs)
    await remove(site, [older])
    await sweep(site)
    site.clock.skip(4 * hourMs)

    assert.deepEqual(counts((await sweep(site)).deleted), [0, 0, 1])
    assert.equal(await site.place.repository.store.head(storedWalKey(site.place, 1, 1)), undefined)
  })

  test('keeps a pack that a listed backup refers to, whoever wrote it', async () => {
    const site = await createSite()
    const packs = [
      { label: older, number: 1 },
      { label: parseBackupLabel('20260221-120000I'), number: 1 },
    ]
    await storeBackup(
      site.place,
      { label: '20260221-120000I', firstSegment: 8, lastSegment: 8, packs },
      site.context,
    )
    await remove(site, [older, newer])
    await sweep(site, { graceMs: 0 })

    assert.deepEqual(await listKeys(site.place, 'data'), [`${older}/000001`, '20260221-120000I/000001'])
    assert.deepEqual(await listKeys(site.place, 'backup'), ['20260221-120000I/0001/manifest'])
  })

  test('does nothing while a backup, a dump or a restore runs, and says which (Q2, Q3)', async () => {
    for (const scope of ['backup', 'dump', 'restore-0123456789abcdef']) {
      const site = await createSite()
      await remove(site, [older])
      await using held = new AsyncDisposableStack()
      const { repository, cluster } = site.place
      const holder = { ...readProcessIdentity(), host: 'elsewhere', bootId: 'another boot' }
      const request = { clusterId: cluster.id, scope, purpose: `what ${scope} does`, holder }
      held.use(await acquireLease(repository, request, site.context))
      const result = await sweep(site, { graceMs: 0 })

      assert.equal(result.postponedFor, `what ${scope} does`)
      assert.equal((await listKeys(site.place, 'data')).length, 2)
      assert.deepEqual(await listKeys(site.place, 'sweep'), [])
    }
  })

  test('takes a running backup for dead after its lease, and then nobody can list it any more (R65)', async () => {
    const site = await createSite()
    const { repository, cluster } = site.place
    const holder = { ...readProcessIdentity(), host: 'elsewhere', bootId: 'another boot' }
    const request = { clusterId: cluster.id, scope: 'backup', purpose: 'backup', holder }
    await using lease = await acquireLease(repository, request, site.context)
    const label = '20260221-120000F'
    await storePacks(site.place, [{ label: parseBackupLabel(label), number: 1 }], site.context)
    const entry = await storeBackupManifest(
      site.place,
      { label, firstSegment: 8, lastSegment: 8 },
      site.context,
    )

    // It has confirmed its lease and stands still right before it stores the entry; the sweep comes in between.
    let isFirst = true
    const confirm = async (): Promise<void> => {
      await lease.confirm()
      if (!isFirst) return
      isFirst = false
      site.clock.skip(600_000)
      assert.deepEqual(counts((await sweep(site, { graceMs: 0 })).deleted), [1, 1, 1])
    }
    const publish = changeCatalogue(
      repository,
      { clusterId: cluster.id, change: { kind: 'publish', backup: entry }, confirm },
      site.context,
    )
    await assert.rejects(publish, (error) => isOperationError(error, 'lease-lost'))
    const { backups } = await readCatalogue(repository, cluster.id, site.context)
    assert.deepEqual(
      backups.map((backup) => backup.label),
      [older, newer],
    )
  })

  test('sees what a backup published while it looked', async () => {
    const site = await createSite()
    const label = parseBackupLabel('20260221-120000F')
    const { repository } = site.place
    await storePacks(site.place, [{ label, number: 1 }], site.context)
    // Published when the packs are listed: the references were read before.
    let isPublished = false
    const list = repository.store.list.bind(repository.store)
    const store: typeof repository.store = Object.assign(new FaultyStore(repository.store, []), {
      list: (prefix: string) => {
        return (async function* () {
          if (prefix.endsWith('/data/') && !isPublished) {
            isPublished = true
            await storeBackup(site.place, { label, firstSegment: 8, lastSegment: 8 }, site.context)
          }
          yield* list(prefix)
        })()
      },
    })
    const place = { ...site.place, repository: { ...repository, store } }
    await sweep({ ...site, place }, { graceMs: 0 })

    assert.ok((await listKeys(site.place, 'data')).includes(`${label}/000001`))
  })

  test('refuses without a catalogue, and when it or a manifest cannot be read (R67)', async () => {
    const empty = { ...(await createSite()), place: await createPlace() }
    await storeWal(empty.place, { from: 1, to: 3 }, empty.context)
    await assert.rejects(sweep(empty, { graceMs: 0 }), (error) => isOperationError(error, 'not-found'))
    assert.equal((await listKeys(empty.place, 'wal')).length, 3)

    const site = await createSite()
    const { cluster, repository } = site.place
    await remove(site, [older])
    for (const key of [manifestKey(cluster.id, { label: newer, revision: 1 }), catalogKey(cluster.id, 3)]) {
      const store = new FaultyStore(repository.store, [
        { kind: 'short-read', keepBytes: 50, at: { subject: key } },
      ])
      const place = { ...site.place, repository: { ...repository, store } }
      await assert.rejects(sweep({ ...site, place }, { graceMs: 0 }), isDamaged)
    }
    assert.equal((await listKeys(site.place, 'data')).length, 2)
  })

  test('keeps all WAL when no backup is left, but not the packs of those that were removed', async () => {
    const site = await createSite()
    await remove(site, [older, newer])
    await sweep(site, { graceMs: 0 })

    assert.deepEqual(await listKeys(site.place, 'data'), [])
    assert.equal((await listKeys(site.place, 'wal')).length, 9)
  })

  test('begins the grace anew when its marks cannot be read, and when they are of the future (T1)', async () => {
    const site = await createSite()
    const { cluster, repository } = site.place
    await sweep(site)
    await repository.store.delete([sweepKey(cluster.id, 1)])
    await repository.store.putIfAbsent(sweepKey(cluster.id, 1), Buffer.from('nonsense'))
    site.clock.skip(2 * defaultGraceMs)
    assert.deepEqual(counts((await sweep(site)).deleted), [0, 0, 0])

    site.clock.skip(-10 * defaultGraceMs)
    assert.deepEqual(counts((await sweep(site)).deleted), [0, 0, 0])
    site.clock.skip(defaultGraceMs)
    assert.deepEqual(counts((await sweep(site)).deleted), [0, 0, 1])
  })

  test('tells in a dry run what it would do and changes nothing', async () => {
    const site = await createSite()
    await remove(site, [older])
    const before = await snapshot(site)
    const result = await sweep(site, { graceMs: 0, isDryRun: true })

    assert.deepEqual(counts(result.deleted), [1, 1, 5])
    assert.deepEqual(await snapshot(site), before)
  })

  test('goes on after any store call that failed, and nothing listed ever lacks anything (R68)', async () => {
    for (let call = 1; ; call += 1) {
      const site = await createSite()
      await remove(site, [older])
      const { repository } = site.place
      const error = new Error('the store failed')
      const store = new FaultyStore(repository.store, [{ kind: 'fail', error, when: 'before', at: { call } }])
      const faulty = { ...site, place: { ...site.place, repository: { ...repository, store } } }
      const outcome = await sweep(faulty, { graceMs: 0 }).catch((reason: unknown) => reason)
      const keys = await snapshot(site)
      for (const needed of [`data/${newer}/000001`, `backup/${newer}/0001/manifest`])
        assert.ok(
          keys.some((key) => key.endsWith(needed)),
          `call ${call}: ${needed}`,
        )
      for (let segment = 6; segment <= 9; segment += 1)
        assert.ok(keys.includes(storedWalKey(site.place, 1, segment)), `call ${call}: segment ${segment}`)

      site.clock.skip(600_000) // a lease that could not be released
      await sweep(site, { graceMs: 0 })
      assert.deepEqual(await listKeys(site.place, 'data'), [`${newer}/000001`])
      if (!store.calls.some(({ fault }) => fault !== undefined)) break
      assert.ok(call < 500)
      if (outcome instanceof Error) assert.equal(outcome.message, error.message)
    }
  })

  test('removes old entries of the catalogue and ended restores', async () => {
    const site = await createSite()
    const { repository, cluster } = site.place
    const change = { kind: 'fence' } as const
    for (let count = 0; count < 1005; count += 1)
      await changeCatalogue(repository, { clusterId: cluster.id, change, confirm: allowed }, site.context)
    const request = { clusterId: cluster.id, scope: 'restore-1', purpose: '', holder: readProcessIdentity() }
    await (await acquireLease(repository, request, site.context))[Symbol.asyncDispose]()
    await sweep(site)
    assert.equal((await listKeys(site.place, 'catalog')).length, 1007) // all of the last ninety days
    site.clock.skip(91 * 24 * hourMs)
    await changeCatalogue(repository, { clusterId: cluster.id, change, confirm: allowed }, site.context)
    await sweep(site)

    assert.equal((await listKeys(site.place, 'catalog')).length, 1000)
    assert.deepEqual(await listKeys(site.place, 'lease/restore-1'), [])
    assert.equal((await readCatalogue(repository, cluster.id, site.context)).backups.length, 2)
  })
})

async function snapshot({ place }: Site): Promise<readonly string[]> {
  const keys: string[] = []
  for await (const { key } of place.repository.store.list('')) keys.push(key)
  return keys
}
