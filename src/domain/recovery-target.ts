import { formatLsn, parseLsn, type Lsn } from './lsn.ts'
import { OperationError } from './operation-error.ts'
import { quote } from './quote.ts'
import { formatInstant, parseTargetTime, type Instant } from './target-time.ts'
import { parseTimelineId, type TimelineId } from './timeline.ts'

/** Where a recovery shall end (R41). Inclusive and exclusive mean what recovery_target_inclusive means. */
export type RecoveryTarget = RecoveryGoal & RecoveryManner

type RecoveryGoal =
  /** The end of the archive. */
  | { readonly kind: 'latest' }
  /** Inclusive: before the first commit later than this. Exclusive: before the first one that is not earlier. */
  | { readonly kind: 'time'; readonly time: Instant; readonly inclusive: boolean }
  | { readonly kind: 'lsn'; readonly lsn: Lsn; readonly inclusive: boolean }
  /** With or without epoch: a server compares the lower 32 bits. */
  | { readonly kind: 'xid'; readonly xid: bigint; readonly inclusive: boolean }
  | { readonly kind: 'name'; readonly name: string }
  /** As soon as the backup is consistent. */
  | { readonly kind: 'immediate' }

type RecoveryAction = 'promote' | 'pause' | 'shutdown'

interface RecoveryManner {
  /** Absent: the timeline follows from the backup that is chosen (R37). */
  readonly timeline?: TimelineId | 'latest' | 'current'
  readonly action: RecoveryAction
}

/** The command line's target options, as they were written. */
export interface RecoveryTargetOptions {
  readonly targetTime?: string | undefined
  readonly targetLsn?: string | undefined
  readonly targetXid?: string | undefined
  readonly targetName?: string | undefined
  readonly targetImmediate?: boolean | undefined
  readonly targetTimeline?: string | undefined
  readonly targetExclusive?: boolean | undefined
  /** Default: promote. */
  readonly targetAction?: string | undefined
}

const greatestXid = 0xffff_ffff_ffff_ffffn
/** FirstNormalTransactionId in access/transam.h; below it are ids that no transaction ever has. */
const firstNormalXid = 3n
/** MAXFNAMELEN - 1 in access/xlog_internal.h. */
const longestNameBytes = 63
const actions: readonly RecoveryAction[] = ['promote', 'pause', 'shutdown']

/** Refuses more than one target, and every value that a server would read differently from what it says. */
export function parseRecoveryTarget(options: RecoveryTargetOptions): RecoveryTarget {
  const goal = parseGoal(options)
  const action = parseAction(options.targetAction ?? 'promote')
  return options.targetTimeline === undefined
    ? { ...goal, action }
    : { ...goal, action, timeline: parseTargetTimeline(options.targetTimeline) }
}

/** One line for people. Times are in UTC. */
export function describeRecoveryTarget(target: RecoveryTarget): string {
  return `${describeGoal(target)}${describeTimeline(target.timeline)}, then ${target.action}`
}

function parseGoal(options: RecoveryTargetOptions): RecoveryGoal {
  const inclusive = options.targetExclusive !== true
  const parsers = [
    parserOf('--target-time', options.targetTime, (text) => ({
      kind: 'time',
      time: parseTargetTime(text),
      inclusive,
    })),
    parserOf('--target-lsn', options.targetLsn, (text) => ({ kind: 'lsn', lsn: parseLsn(text), inclusive })),
    parserOf('--target-xid', options.targetXid, (text) => ({ kind: 'xid', xid: parseXid(text), inclusive })),
    parserOf('--target-name', options.targetName, (text) => ({ kind: 'name', name: parseName(text) })),
    parserOf('--target-immediate', options.targetImmediate === true ? '' : undefined, () => ({
      kind: 'immediate',
    })),
  ].filter((parser) => parser !== undefined)

  const [chosen, second] = parsers
  if (second !== undefined) {
    throw usage(
      `more than one recovery target was given: ${parsers.map(({ option }) => option).join(' and ')}`,
      'Give one of them.',
    )
  }
  const goal: RecoveryGoal = chosen === undefined ? { kind: 'latest' } : chosen.parse()
  if (!inclusive && !('inclusive' in goal)) {
    throw usage(
      `--target-exclusive was given ${chosen === undefined ? 'without a target' : `with ${chosen.option}`}`,
      'Use it with --target-time, --target-lsn or --target-xid.',
    )
  }
  return goal
}

interface GoalParser {
  readonly option: string
  readonly parse: () => RecoveryGoal
}

function parserOf(
  option: string,
  text: string | undefined,
  parse: (text: string) => RecoveryGoal,
): GoalParser | undefined {
  return text === undefined ? undefined : { option, parse: () => parse(text) }
}

/** A server takes an LSN or any other text for a number that starts it, and so recovers to transaction 0. */
function parseXid(text: string): bigint {
  const xid = /^[0-9]{1,20}$/.test(text) ? BigInt(text) : 0n
  if (xid > greatestXid || (xid & 0xffff_ffffn) < firstNormalXid) {
    throw usage(
      `${quote(text)} is not a transaction id`,
      text.includes('/') ? 'This is an LSN: use --target-lsn.' : 'Write it in decimal digits, from 3 on.',
    )
  }
  return xid
}

function parseName(text: string): string {
  const sizeBytes = new TextEncoder().encode(text).length
  if (sizeBytes === 0 || sizeBytes > longestNameBytes || /\p{Cc}/u.test(text)) {
    throw usage(
      `${quote(text)} is not the name of a restore point`,
      `Give the name that pg_create_restore_point got: 1 to ${longestNameBytes} bytes, no control characters.`,
    )
  }
  return text
}

function parseAction(text: string): RecoveryAction {
  const action = actions.find((known) => known === text)
  if (action === undefined) {
    throw usage(`${quote(text)} is not a recovery target action`, `Use one of ${actions.join(', ')}.`)
  }
  return action
}

function parseTargetTimeline(text: string): TimelineId | 'latest' | 'current' {
  return text === 'latest' || text === 'current' ? text : parseTimelineId(text)
}

function describeGoal(goal: RecoveryGoal): string {
  switch (goal.kind) {
    case 'latest':
      return 'to the end of the archive'
    case 'time':
      return `${extent(goal)} ${formatInstant(goal.time).replace('T', ' ').replace('Z', ' UTC')}`
    case 'lsn':
      return `${extent(goal)} LSN ${formatLsn(goal.lsn)}`
    case 'xid':
      return `${extent(goal)} transaction ${goal.xid}`
    case 'name':
      return `to restore point ${quote(goal.name)}`
    case 'immediate':
      return 'to the end of the backup'
  }
}

function extent({ inclusive }: { readonly inclusive: boolean }): string {
  return inclusive ? 'up to and including' : 'up to, but not including,'
}

function describeTimeline(timeline: RecoveryManner['timeline']): string {
  if (timeline === undefined) return ''
  if (timeline === 'latest') return ' on the latest timeline'
  return timeline === 'current' ? " on the backup's own timeline" : ` on timeline ${timeline}`
}

function usage(message: string, hint: string): OperationError {
  return new OperationError('usage', message, { hint })
}
