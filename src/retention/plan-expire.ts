import type { BackupLabel } from '../domain/backup-label.ts'
import { formatInstant, toInstant, type Instant } from '../domain/target-time.ts'
import type { ListedBackup, WalRetention } from '../repository/backup-entry.ts'
import { findBranchNeeds, type Branch, type BranchNeed } from './branch-needs.ts'
import { calendarBucket } from './calendar-bucket.ts'
import { doubtClock, findDoubtfulTimes } from './doubt-clock.ts'
import { hasRules, periods, type KeepRules } from './keep-rules.ts'
import { warnOfPlan, type PlanWarning } from './plan-warnings.ts'
import { createStates, type BackupKnowledge, type BackupState } from './usability.ts'

/** Everything besides the catalogue and the rules that decides what expires. */
export interface ExpireKnowledge extends BackupKnowledge {
  readonly nowMs: number
  /** When the entries of the catalogue were stored, by the store's clock. */
  readonly writtenAtMs: readonly number[]
  /** Found whole by `verify`. */
  readonly proven: ReadonlySet<BackupLabel>
  /** The timelines that the archive ends on; empty: not known. */
  readonly branches: readonly Branch[]
}

interface KeptBackup {
  readonly label: BackupLabel
  /** Each rule that keeps it, in words; never empty. */
  readonly reasons: readonly string[]
  /** How much WAL is kept for it from now on. */
  readonly walRetention: WalRetention
}

export interface ExpirePlan {
  /** False: no rule is set, and nothing expires. */
  readonly hasRules: boolean
  /** Every listed backup is in one of these two, oldest first. */
  readonly keep: readonly KeptBackup[]
  readonly remove: readonly { readonly label: BackupLabel; readonly reason: string }[]
  /** Of those that are kept: for which from now on only their own WAL is. */
  readonly ownWal: readonly BackupLabel[]
  readonly warnings: readonly PlanWarning[]
  /** Why nothing must be forgotten by this clock; undefined when nothing speaks against it, or nothing would be. */
  readonly clockDoubt: string | undefined
  /** Half of the backups or more would go or lose the WAL behind them: nobody wants that by mistake (Q6). */
  readonly isDrastic: boolean
}

/**
 * Decides what is forgotten; changes nothing. What is kept is the union of what the rules ask for and of what is never
 * forgotten (R67): the newest that can be used, the newest that is listed, the newest not known to be damaged, the newest
 * that `verify` found whole, all that are pinned, what each timeline is reached from, and everything of which nobody can
 * tell now whether it can be used. Rules count usable backups only, so that a broken one never pushes out a good one;
 * broken ones go when they are older than everything that must be reached.
 */
export function planExpire(
  listed: readonly ListedBackup[],
  rules: KeepRules,
  knowledge: ExpireKnowledge,
): ExpirePlan {
  const backups = lookAt(listed, knowledge)
  const { usable } = backups
  const newest = usable.at(-1)
  if (!hasRules(rules)) return keepAll(backups, { reason: 'no rule is set', hasRules: false })
  if (newest === undefined) return keepAll(backups, { reason: 'no usable backup is known', hasRules: true })

  const wantedEdge = edgeOf(rules, usable, knowledge.nowMs)
  const edge = wantedEdge ?? newest.stoppedAt
  const needs = findBranchNeeds({ ...backups, branches: knowledge.branches, edge })
  const needed = new Set(needs.flatMap((need) => need.backups))
  const reasons = new Reasons()
  applyRules(reasons, rules, usable)
  applyNeeds(reasons, { rules, needs, edge }, backups)
  applyEdge(reasons, { rules, needs, edge }, backups)
  protectNewest(reasons, backups, knowledge)
  protectUncertain(reasons, backups, wantedEdge === undefined ? undefined : needed)
  const leadsOnward = wantedEdge === undefined ? () => true : onwardLeader({ needs, needed }, backups)
  return assemble(reasons, { leadsOnward, needs }, { backups, knowledge })
}

interface Backups {
  /** As the catalogue lists them. */
  readonly listed: readonly ListedBackup[]
  /** By time. */
  readonly sorted: readonly ListedBackup[]
  /** By time: those that can be counted on, with times that can be believed. */
  readonly usable: readonly ListedBackup[]
  readonly stateOf: (backup: ListedBackup) => BackupState
  /** Why the time of a backup cannot be believed. */
  readonly doubtful: ReadonlyMap<BackupLabel, string>
}

function lookAt(listed: readonly ListedBackup[], knowledge: ExpireKnowledge): Backups {
  const sorted = listed.toSorted((one, other) => Number(one.stoppedAt - other.stoppedAt))
  const stateOf = createStates(knowledge)
  const doubtful = findDoubtfulTimes(listed, knowledge.nowMs)
  const usable = sorted.filter((backup) => stateOf(backup).kind === 'usable' && !doubtful.has(backup.label))
  return { listed, sorted, usable, stateOf, doubtful }
}
/** Why each backup is kept. */
class Reasons {
  readonly #byLabel = new Map<BackupLabel, string[]>()

  add(label: BackupLabel, reason: string): void {
    const known = this.#byLabel.get(label)
    if (known === undefined) this.#byLabel.set(label, [reason])
    else if (!known.includes(reason)) known.push(reason)
  }

  of(label: BackupLabel): readonly string[] {
    return this.#byLabel.get(label) ?? []
  }
}

/**
 * From when on every moment stays reachable: since the window began, or since the oldest backup that `count` keeps. Without
 * both, undefined: then all kept backups keep their WAL onward.
 */
function edgeOf(
  { window, count }: KeepRules,
  usable: readonly ListedBackup[],
  nowMs: number,
): Instant | undefined {
  if (window !== undefined) return earliestFirst(BigInt(Math.floor(nowMs - window)) * 1000n)
  if (count === undefined) return undefined
  return newestOf(usable, count)[0]?.stoppedAt
}

const firstInstant = -62_135_596_800_000_000n
const earliestFirst = (microseconds: bigint): Instant =>
  toInstant(microseconds < firstInstant ? firstInstant : microseconds)

const newestOf = (usable: readonly ListedBackup[], count: number): readonly ListedBackup[] =>
  usable.slice(Math.max(0, usable.length - count))

function applyRules(reasons: Reasons, rules: KeepRules, usable: readonly ListedBackup[]): void {
  const { count = 0, minimum } = rules
  for (const { label } of newestOf(usable, count)) reasons.add(label, `count ${count}`)
  for (const { label } of newestOf(usable, minimum)) reasons.add(label, `minimum ${minimum}`)
  for (const period of periods) {
    const buckets = Map.groupBy(usable, ({ stoppedAt }) => calendarBucket(stoppedAt, period))
    const newestBuckets = [...buckets].slice(Math.max(0, buckets.size - (rules[period] ?? 0)))
    for (const [bucket, inBucket] of newestBuckets) {
      const last = inBucket.at(-1)
      if (last !== undefined) reasons.add(last.label, `${period} ${bucket}`)
    }
  }
}

interface Edge {
  readonly rules: KeepRules
  readonly needs: readonly BranchNeed[]
  readonly edge: Instant
}

const sinceText = (edge: Instant): string => `${formatInstant(edge).slice(0, 19)}Z`

/**
 * What every moment since the edge is reached from on each branch: the newest backup from before it, or what may be
 * mended to lead there; and everything that leads onward when nothing of that can be used.
 */
function applyNeeds(reasons: Reasons, { needs, edge }: Edge, { sorted }: Backups): void {
  for (const { branch, backups: needed, held } of needs) {
    const what = `timeline ${branch.timeline} since ${sinceText(edge)}`
    for (const [index, { label, stoppedAt }] of needed.entries())
      if (index === 0 || stoppedAt <= edge) reasons.add(label, what)
    for (const { label } of held) reasons.add(label, `${what}, should it be mended`)
  }
  if (needs.some((need) => need.backups.length > 0)) return
  for (const { label, walRetention } of sorted)
    if (walRetention === 'onward') reasons.add(label, 'no usable one leads onward')
}

/** What is behind the edge: in a window all, and also without one what cannot be used now. */
function applyEdge(reasons: Reasons, { rules, edge }: Edge, { sorted, stateOf, doubtful }: Backups): void {
  for (const backup of sorted.filter(({ stoppedAt }) => stoppedAt > edge)) {
    if (doubtful.has(backup.label)) continue
    if (stateOf(backup).kind !== 'usable') reasons.add(backup.label, `newer than ${sinceText(edge)}`)
    else if (rules.window !== undefined) reasons.add(backup.label, 'window')
  }
}

/** What no rule may ever remove. The newest by time and by listing, so that a clock that jumped cannot make the newest look old. */
function protectNewest(
  reasons: Reasons,
  { listed, sorted, usable, doubtful }: Backups,
  { damaged, proven }: ExpireKnowledge,
): void {
  const isUsable = new Set(usable)
  const isIntact = ({ label }: ListedBackup): boolean => !damaged.has(label)
  const protect = (backup: ListedBackup | undefined, reason: string): void => {
    if (backup !== undefined) reasons.add(backup.label, reason)
  }
  for (const backup of listed) if (backup.isPinned) protect(backup, 'pinned')
  protect(usable.at(-1), 'the newest')
  protect(
    listed.findLast((backup) => isUsable.has(backup)),
    'the newest',
  )
  protect(
    sorted.findLast((backup) => isIntact(backup) && !doubtful.has(backup.label)),
    'the newest not known to be damaged',
  )
  protect(listed.findLast(isIntact), 'the newest not known to be damaged')
  protect(
    usable.findLast(({ label }) => proven.has(label)),
    'the newest that was verified',
  )
}

/**
 * What is not known to be useless stays: backups whose state is unknown; and those whose time is, unless they were listed
 * before everything that is needed, and so are older than that whatever their time is.
 */
function protectUncertain(
  reasons: Reasons,
  { listed, stateOf, doubtful }: Backups,
  needed: ReadonlySet<ListedBackup> | undefined,
): void {
  const first = listed.findIndex((backup) => needed?.has(backup) ?? reasons.of(backup.label).length > 0)
  for (const [index, backup] of listed.entries()) {
    const state = stateOf(backup)
    if (state.kind === 'unknown') reasons.add(backup.label, `not known to be useless: ${state.reason}`)
    if (doubtful.has(backup.label) && index > first) reasons.add(backup.label, 'its time cannot be believed')
  }
}

/**
 * Tells behind which backups WAL is kept: those that are needed; those that may be mended; and of those that cannot be
 * used now, or whose time cannot be believed, all behind the first that is needed. When nothing usable leads onward,
 * nobody can tell what is not needed: all of them.
 */
function onwardLeader(
  { needs, needed }: { readonly needs: readonly BranchNeed[]; readonly needed: ReadonlySet<ListedBackup> },
  { listed, sorted, stateOf, doubtful }: Backups,
): (backup: ListedBackup) => boolean {
  const held = new Set(needs.flatMap((need) => need.held))
  const oldest = sorted.find((backup) => needed.has(backup))
  if (oldest === undefined) return () => true
  const first = listed.findIndex((backup) => needed.has(backup))
  return (backup) => {
    const state = stateOf(backup)
    if (needed.has(backup) || held.has(backup) || state.kind === 'unknown') return true
    if (doubtful.has(backup.label)) return listed.indexOf(backup) > first
    return state.kind === 'broken' && backup.stoppedAt > oldest.stoppedAt
  }
}

interface Decision {
  readonly leadsOnward: (backup: ListedBackup) => boolean
  readonly needs: readonly BranchNeed[]
}

function assemble(
  reasons: Reasons,
  { leadsOnward, needs }: Decision,
  { backups, knowledge }: { readonly backups: Backups; readonly knowledge: ExpireKnowledge },
): ExpirePlan {
  const { listed, sorted, stateOf, doubtful } = backups
  const kept = sorted.filter(({ label }) => reasons.of(label).length > 0)
  const ownWal = kept
    .filter((backup) => backup.walRetention === 'onward' && !leadsOnward(backup))
    .map(({ label }) => label)
  const remove = sorted
    .filter(({ label }) => reasons.of(label).length === 0)
    .map((backup) => ({ label: backup.label, reason: whyNotKept(stateOf(backup)) }))
  const changed = remove.length + ownWal.length
  const believed = listed.filter(({ label }) => !doubtful.has(label))
  return {
    hasRules: true,
    keep: kept.map(({ label, walRetention }) => ({
      label,
      reasons: reasons.of(label),
      walRetention: ownWal.includes(label) ? 'own' : walRetention,
    })),
    remove,
    ownWal,
    warnings: warnOfPlan({ ...backups, needs }),
    clockDoubt: changed === 0 ? undefined : doubtClock({ ...knowledge, listed: believed, noun: 'backup' }),
    // One of two goes in the usual course where one is kept.
    isDrastic: changed * 2 > sorted.length || (changed > 1 && changed * 2 === sorted.length),
  }
}

const whyNotKept = (state: BackupState): string =>
  state.kind === 'usable' ? 'no rule keeps it' : state.reason

function keepAll(
  backups: Backups,
  { reason, hasRules: isRuled }: { readonly reason: string; readonly hasRules: boolean },
): ExpirePlan {
  return {
    hasRules: isRuled,
    keep: backups.sorted.map(({ label, walRetention }) => ({ label, walRetention, reasons: [reason] })),
    remove: [],
    ownWal: [],
    warnings: isRuled ? warnOfPlan({ ...backups, needs: undefined }) : [],
    clockDoubt: undefined,
    isDrastic: false,
  }
}
