import { formatLsn } from '../domain/lsn.ts'
import { formatInstant, parseTargetTime } from '../domain/target-time.ts'
import type { RecoveryStatus } from '../postgres/recovery-status.ts'
import type { RecoveryStop } from './recovery-stop.ts'

/** What the server's log says when it stops at a target: access/transam/xlogrecovery.c. */
const stopLine = /recovery stopping (?:before|after|at) .*/

/** Whether recovery stopped because it had reached a target, in the server's own words. */
export function stopLineOf(log: string): string | undefined {
  return log
    .split('\n')
    .findLast((line) => stopLine.test(line))
    ?.replace(/^.*?(?=recovery stopping)/, '')
}

/** Why what was reached is not what was planned; undefined when it is (R40, M6, M7). */
export function checkReached(
  stop: RecoveryStop,
  { status, line }: { status: RecoveryStatus; line: string | undefined },
): string | undefined {
  if (line === undefined) return 'the server paused without having reached a target'
  const { replayLsn } = status
  if (replayLsn === undefined || replayLsn < stop.atLeast) {
    return `expected replay to reach LSN ${formatLsn(stop.atLeast)}, found ${replayLsn === undefined ? 'nothing' : formatLsn(replayLsn)}`
  }
  return kindProblem(stop, { status, line })
}

function kindProblem(
  stop: RecoveryStop,
  { status, line }: { status: RecoveryStatus; line: string },
): string | undefined {
  const saying = (expected: string): string | undefined =>
    line.includes(expected) ? undefined : `expected the server to stop at ${expected}, found "${line}"`
  switch (stop.kind) {
    case 'lsn':
      return saying('WAL location')
    case 'xid':
      return saying(`transaction ${stop.xid & 0xffff_ffffn}`)
    case 'name':
      return saying(`restore point "${stop.name}"`)
    case 'immediate':
      return saying('reaching consistency')
    case 'time':
      return saying('of transaction') ?? timeProblem(stop, status)
  }
}

/** Commit times do not rise along the WAL (M18), but none that was replayed may be behind the target. */
function timeProblem(
  stop: Extract<RecoveryStop, { kind: 'time' }>,
  { replayedCommitTime }: RecoveryStatus,
): string | undefined {
  if (replayedCommitTime === undefined) return undefined
  const reached = parseTargetTime(replayedCommitTime)
  return reached <= stop.time
    ? undefined
    : `expected no commit after ${formatInstant(stop.time)}, found one of ${formatInstant(reached)}`
}
