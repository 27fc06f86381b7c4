import { surveyArchive } from '../archive/archive-inventory.ts'
import type { ArchivePlace } from '../archive/archive-place.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RecoveryTarget } from '../domain/recovery-target.ts'
import type { RunContext } from '../domain/run-context.ts'
import { toInstant } from '../domain/target-time.ts'
import { randomBelow } from '../platform/random.ts'
import { readCatalogue } from '../repository/catalogue.ts'
import { findRecoveryReach } from './recovery-window.ts'

/**
 * A moment within what can be recovered, to the millisecond; in a stretch that several timelines share it is as likely for
 * each. Throws `target-unreachable` when nothing can be recovered between the end of a backup and the last commit.
 */
export async function chooseRandomMoment(place: ArchivePlace, context: RunContext): Promise<RecoveryTarget> {
  const { backups } = await readCatalogue(place.repository, place.cluster.id, context)
  const inventory = await surveyArchive(place, context)
  const { windows } = await findRecoveryReach({ backups, inventory }, place, context)
  const stretches = windows.flatMap(({ timeline, oldest: { stoppedAt }, toTime }) =>
    toTime !== undefined && toTime > stoppedAt
      ? [{ timeline, from: stoppedAt, length: Math.ceil(Number(toTime - stoppedAt) / 1000) }]
      : [],
  )
  const total = stretches.reduce((sum, { length }) => sum + length, 0)
  let left = total === 0 ? 0 : randomBelow(total)
  for (const { timeline, from, length } of stretches) {
    if (left < length) {
      const time = toInstant(from + BigInt(left) * 1000n)
      return { kind: 'time', time, inclusive: true, timeline, action: 'promote' }
    }
    left -= length
  }
  throw new OperationError(
    'target-unreachable',
    'choosing a moment to recover to: no commit that is archived can be recovered',
    {
      hint: 'Run "holdfast info": it shows what can be recovered. Without "--random" the end of the archive is proved.',
    },
  )
}
