import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseBackupLabel } from '../domain/backup-label.ts'
import { parseLsn, toLsn } from '../domain/lsn.ts'
import { parseTargetTime } from '../domain/target-time.ts'
import { toTimelineId } from '../domain/timeline.ts'
import type { Route } from './choose-route.ts'
import { locateOn, type FoundRecord, type LocatedTarget, type SearchedStretch } from './locate-target.ts'

describe('locateOn', () => {
  test('takes the newest backup that ended before the record', async () => {
    const { located, stretches } = await locate([0x950000])

    assert.deepEqual(located, { label: '20260202-110000F', lsn: 0x950000n, endLsn: 0x950010n })
    assert.equal(stretches.length, 1)
  })

  test('searches only what a newer backup did not need', async () => {
    const { located, stretches } = await locate([0x500000])

    assert.equal(located?.label, '20260201-110000F')
    assert.deepEqual(stretches, ['800000-', '200000-800000'])
  })

  test('keeps a record between the start and the end of a newer backup for an older one', async () => {
    const { located, stretches } = await locate([0x880000])

    assert.deepEqual(located, { label: '20260201-110000F', lsn: 0x880000n, endLsn: 0x880010n })
    assert.deepEqual(stretches, ['800000-', '200000-800000'])
  })

  test('prefers the first record of that kind, where a recovery from the older backup would stop (R41)', async () => {
    const { located } = await locate([0x500000, 0x880000])

    assert.equal(located?.lsn, 0x500000n)
  })

  test('finds nothing that a recovery could stop at', async () => {
    assert.equal((await locate([])).located, undefined)
    assert.equal((await locate([0x280000])).located, undefined)
    // A recovery would stop at the first of them, before it is consistent.
    assert.equal((await locate([0x280000, 0x880000])).located, undefined)
  })

  test('does not carry a record over to another timeline', async () => {
    const { located, stretches } = await locate([0x880000], [routeOf(2, 8, 9), routeOf(1, 2, 3)])

    assert.deepEqual(stretches, ['800000-', '200000-'])
    assert.equal(located?.label, '20260201-110000F')
  })
})

async function locate(
  records: readonly number[],
  routes: readonly Route[] = [routeOf(1, 8, 9), routeOf(1, 2, 3)],
): Promise<{ located: LocatedTarget | undefined; stretches: readonly string[] }> {
  const stretches: string[] = []
  const search = ({ route, to }: SearchedStretch): Promise<FoundRecord | undefined> => {
    const from = route.backup.startLsn
    stretches.push(`${from.toString(16)}-${to?.toString(16) ?? ''}`)
    const lsn = records.map(BigInt).find((record) => record >= from && (to === undefined || record < to))
    return Promise.resolve(lsn === undefined ? undefined : { lsn: toLsn(lsn), endLsn: toLsn(lsn + 16n) })
  }
  return { located: await locateOn(routes, search), stretches }
}

/** `start` and `stop` count megabytes of WAL. */
function routeOf(timeline: number, start: number, stop: number): Route {
  const day = start === 2 ? 1 : 2
  const backup = {
    label: parseBackupLabel(`2026020${day}-110000F`),
    type: 'full',
    major: 17,
    timeline: toTimelineId(timeline),
    startLsn: parseLsn(`0/${start}00000`),
    stopLsn: parseLsn(`0/${stop}00000`),
    startedAt: parseTargetTime(`2026-02-0${day}T11:00:00Z`),
    stoppedAt: parseTargetTime(`2026-02-0${day}T12:00:00Z`),
    revision: 1,
    fileCount: 1,
    restoredBytes: 1,
    storedBytes: 1,
    damagedPageCount: 0,
    manifestDigest: '',
    isPinned: false,
    walRetention: 'onward',
  } as const
  return { backup, history: { timeline: toTimelineId(timeline), ancestors: [] } }
}
