import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createPlace } from '../../test/support/archive-fixture.ts'
import { sampleListed, type SampleBackup } from '../../test/support/sample-listed.ts'
import type { BackupLabel } from '../domain/backup-label.ts'
import { toLsn } from '../domain/lsn.ts'
import { isOperationError } from '../domain/operation-error.ts'
import { formatInstant } from '../domain/target-time.ts'
import { parseTimelineHistory } from '../domain/timeline-history.ts'
import { toTimelineId } from '../domain/timeline.ts'
import { planDelete, type DeletePlan } from './plan-delete.ts'

const place = await createPlace()
const timelineOne = { timeline: toTimelineId(1), history: parseTimelineHistory(toTimelineId(1), '') }

describe('planDelete', () => {
  test('tells the moments that only this backup leads to', () => {
    assert.deepEqual(lost(planned(1, [{ day: 1 }, { day: 3 }])), ['1: 2026-01-01 to 2026-01-03'])
    assert.deepEqual(lost(planned(3, [{ day: 1 }, { day: 3 }])), [])
    assert.deepEqual(lost(planned(3, [{ day: 1, walRetention: 'own' }, { day: 3 }])), [
      '1: 2026-01-03 to the end',
    ])
    assert.deepEqual(lost(planned(1, [{ day: 1, walRetention: 'own' }, { day: 3 }])), [
      '1: 2026-01-01 to 2026-01-01',
    ])
  })

  test('tells what is lost when WAL is missing behind the older ones', () => {
    const reach = { [sampleListed({ day: 1 }).label]: 200n }

    assert.deepEqual(lost(planned(5, [{ day: 1 }, { day: 5 }], { reach })), ['1: 2026-01-05 to the end'])
    assert.deepEqual(lost(planned(5, [{ day: 1 }, { day: 5 }, { day: 7 }], { reach })), [
      '1: 2026-01-05 to 2026-01-07',
    ])
    assert.deepEqual(lost(planned(7, [{ day: 1 }, { day: 5 }, { day: 7 }], { reach })), [])
  })

  test('refuses a pinned one, and one that is not listed', () => {
    assert.throws(() => planned(1, [{ day: 1, isPinned: true }, { day: 2 }]), isRefused('backup-pinned'))
    assert.throws(() => planned(3, [{ day: 1 }, { day: 2 }]), isRefused('not-found'))
  })

  test('refuses the last one that can be used, unless that is wanted', () => {
    const backups = [{ day: 1, damagedPageCount: 4 }, { day: 2 }]

    assert.throws(() => planned(2, backups), isRefused('last-backup'))
    assert.equal(planned(2, backups, { acceptsLast: true }).usableLeft, 0)
    assert.equal(planned(1, backups).usableLeft, 1)
  })
})

interface Given {
  readonly acceptsLast?: boolean
  /** Where the WAL behind a backup ends; default: the end of the archive. */
  readonly reach?: Readonly<Record<string, bigint>>
}

function planned(
  day: number,
  backups: readonly SampleBackup[],
  { acceptsLast = false, reach = {} }: Given = {},
): DeletePlan {
  const facts = {
    listed: backups.map(sampleListed),
    branches: [timelineOne],
    damaged: new Set<never>(),
    walMissing: new Set<never>(),
    unknown: new Map<never, never>(),
    reachOf: (label: BackupLabel) => toLsn(reach[label] ?? 1000n),
  }
  return planDelete({ label: sampleListed({ day }).label, acceptsLast }, facts, place)
}

const isRefused =
  (code: 'backup-pinned' | 'last-backup' | 'not-found') =>
  (error: unknown): boolean =>
    isOperationError(error, code)

const lost = (plan: DeletePlan): readonly string[] =>
  plan.lost.map(({ timeline, from, to }) => {
    const end = to === undefined ? 'the end' : formatInstant(to).slice(0, 10)
    return `${timeline}: ${formatInstant(from).slice(0, 10)} to ${end}`
  })
