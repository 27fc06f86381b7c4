import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createPlace } from '../../test/support/archive-fixture.ts'
import { testContext } from '../../test/support/repository.ts'
import { flipBit, replaceObject } from '../../test/support/repository-samples.ts'
import { parseBackupLabel } from '../domain/backup-label.ts'
import { dumpDrillFolder, dumpDrillKey } from '../repository/object-keys.ts'
import { checkMetadata } from '../verify/check-metadata.ts'
import type { DumpDrillReport } from './dump-drill-report.ts'
import { readNewestDumpDrill, storeDumpDrill } from './dump-drill-store.ts'
import { readNewestDrill } from './drill-report-store.ts'

const context = testContext()
const label = parseBackupLabel('20260220-153000L')

const report = (changes: Partial<DumpDrillReport> = {}): DumpDrillReport => ({
  beganAtMs: 1,
  label,
  outcome: 'passed',
  serverVersion: '18.4',
  checks: [{ name: 'load', state: 'passed', message: '1 database', findings: ['one'] }],
  databases: [{ database: 'größe', rawBytes: 5, tables: 1, rows: 2, loadMs: 3 }],
  loadMs: 3,
  checkMs: 4,
  ...changes,
})

describe('the reports about dumps', () => {
  test('are remembered by dump, and are no drills of restores', async () => {
    const place = await createPlace()
    const other = parseBackupLabel('20260221-153000L')
    const newest = report({ outcome: 'failed', serverVersion: undefined, databases: [] })
    for (const one of [report(), newest, report({ label: other })]) await storeDumpDrill(one, place, context)

    assert.deepEqual(await readNewestDumpDrill(place, label, context), newest)
    assert.equal((await readNewestDumpDrill(place, other, context))?.label, other)
    assert.equal(await readNewestDumpDrill(place, parseBackupLabel('20260101-000000L'), context), undefined)
    assert.equal(await readNewestDrill(place, context), undefined)
  })

  test('give way to the one before when one is damaged, and verify names it', async () => {
    const place = await createPlace()
    await storeDumpDrill(report(), place, context)
    await storeDumpDrill(report({ beganAtMs: 2 }), place, context)
    const key = dumpDrillKey(place.cluster.id, { label, number: 2 })
    const bytes = (await place.repository.store.get(key)) ?? assert.fail()
    await replaceObject(place.repository, key, flipBit(bytes, 400))

    assert.equal((await readNewestDumpDrill(place, label, context))?.beganAtMs, 1)
    const { findings } = await checkMetadata(place, context)
    assert.deepEqual(
      findings.map(({ key: found, kind }) => [found, kind]),
      [[key, 'drill-report']],
    )
  })

  test('are a hundred at most: those of the oldest dumps go', async () => {
    const place = await createPlace()
    await storeDumpDrill(report({ label: parseBackupLabel('20250101-000000L') }), place, context)
    for (let count = 0; count < 100; count += 1) await storeDumpDrill(report(), place, context)

    const keys: string[] = []
    for await (const { key } of place.repository.store.list(dumpDrillFolder(place.cluster.id))) keys.push(key)
    assert.equal(keys.length, 100)
    assert.equal(keys[0], dumpDrillKey(place.cluster.id, { label, number: 1 }))
  })
})
