import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createPlace } from '../../test/support/archive-fixture.ts'
import { ManualClock } from '../../test/support/manual-clock.ts'
import { testContext } from '../../test/support/repository.ts'
import { storeDump } from '../../test/support/stored-dump.ts'
import { listKeys, storeBackup, storeWal } from '../../test/support/stored-cluster.ts'
import type { ArchivePlace } from '../archive/archive-place.ts'
import { isOperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { changeCatalogue, readCatalogue, type CatalogueChange } from '../repository/catalogue.ts'
import { acquireDumpLease } from '../repository/take-dump.ts'
import { MemoryStore } from '../storage/memory/memory-store.ts'
import { defaultGraceMs, sweepCluster, type SweepResult } from './sweep.ts'

const older = '20260219-130000L'
const newer = '20260220-130000L'

interface Site {
  readonly place: ArchivePlace
  readonly context: RunContext
  readonly clock: ManualClock
}

async function createSite(): Promise<Site> {
  const clock = new ManualClock()
  return {
    clock,
    context: testContext({ clock }),
    place: await createPlace({ store: new MemoryStore('sweep', clock) }),
  }
}

const sweep = ({ place, context }: Site, graceMs = defaultGraceMs): Promise<SweepResult> =>
  sweepCluster({ graceMs, isDryRun: false }, place, context)

const store = ({ place, context }: Site, label: string, isListed = true) =>
  storeDump(place, { label, isListed }, context)

async function change(
  { place: { repository, cluster }, context }: Site,
  wanted: CatalogueChange,
  confirm: () => Promise<void> = () => Promise.resolve(),
): Promise<void> {
  await changeCatalogue(repository, { clusterId: cluster.id, change: wanted, confirm }, context)
}

describe('a sweep', () => {
  test('leaves listed dumps alone, and deletes what nothing lists after the grace', async () => {
    const site = await createSite()
    const { label } = await store(site, older)
    await store(site, newer)
    await store(site, '20260221-130000L', false)
    await change(site, { kind: 'remove-dumps', labels: [label] })
    const marked = await sweep(site)
    assert.deepEqual([marked.deleted.dump.count, marked.waiting.dump.count], [0, 6])

    site.clock.skip(defaultGraceMs)
    const swept = await sweep(site)
    assert.equal(swept.deleted.dump.count, 6)
    assert.deepEqual(await listKeys(site.place, 'dump'), [
      `${newer}/head`,
      `${newer}/part-000001`,
      `${newer}/part-000002`,
    ])
  })

  test('of backups and WAL leaves dumps alone, and of dumps leaves the others', async () => {
    const site = await createSite()
    const backup = await storeBackup(
      site.place,
      { label: '20260219-120000F', firstSegment: 1, lastSegment: 2 },
      site.context,
    )
    await storeWal(site.place, { from: 1, to: 2 }, site.context)
    const dump = await store(site, older)
    await sweep(site, 0)
    assert.equal((await listKeys(site.place, 'dump')).length, 3)
    await change(site, { kind: 'remove', labels: [backup], ownWal: [] })
    await sweep(site, 0)
    assert.deepEqual(await listKeys(site.place, 'data'), [])
    assert.equal((await listKeys(site.place, 'dump')).length, 3)

    await change(site, { kind: 'remove-dumps', labels: [dump.label] })
    await sweep(site, 0)
    assert.deepEqual(await listKeys(site.place, 'dump'), [])
    assert.equal((await listKeys(site.place, 'wal')).length, 2)
  })

  test('takes no notice of what it does not know beside dumps', async () => {
    const site = await createSite()
    await store(site, newer)
    const { repository, cluster } = site.place
    for (const name of [`${older}/index`, 'notes', `${older}x/head`])
      await repository.store.putIfAbsent(`${cluster.id}/dump/${name}`, Buffer.from('of later'))
    await sweep(site, 0)

    assert.equal((await listKeys(site.place, 'dump')).length, 6)
  })

  test('takes a running dump for dead after its lease, and then nobody can list it any more (R65)', async () => {
    const site = await createSite()
    await store(site, older)
    await using lease = await acquireDumpLease(site.place, site.context)
    const dump = await storeDump(site.place, { label: newer, isListed: false, lease }, site.context)
    // It has confirmed its lease and stands still right before it stores the entry; the sweep comes in between.
    let isFirst = true
    const confirm = async (): Promise<void> => {
      await lease.confirm()
      if (!isFirst) return
      isFirst = false
      site.clock.skip(600_000)
      assert.equal((await sweep(site, 0)).deleted.dump.count, 3)
    }
    const publishing = change(site, { kind: 'publish-dump', dump }, confirm)

    await assert.rejects(publishing, (error) => isOperationError(error, 'lease-lost'))
    const { dumps } = await readCatalogue(site.place.repository, site.place.cluster.id, site.context)
    assert.deepEqual(
      dumps.map(({ label }) => label as string),
      [older],
    )
  })
})
