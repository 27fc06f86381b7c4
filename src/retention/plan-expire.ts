import type { BackupLabel } from '../domain/backup-label.ts'
import { formatInstant, toInstant, type Instant } from '../domain/target-time.ts'
import type { ListedBackup, WalRetention } from '../repository/backup-entry.ts'
import { findBranchNeeds, type Branch, type BranchNeed } from './branch-needs.ts'
import { calendarBucket } from './calendar-bucket.ts'
import { doubtClock } from './doubt-clock.ts'
import { hasRules, periods, type KeepRules } from './keep-rules.ts'
import { createUsability, type BackupKnowledge } from './usability.ts'

/** Everything besides the catalogue and the rules that decides what expires. */
export interface ExpireKnowledge extends BackupKnowledge {
  readonly nowMs: number
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
  /** Why nothing must be forgotten by this clock; undefined when nothing speaks against it, or nothing would be. */
  readonly clockDoubt: string | undefined
  /** More than half of the backups would go or lose the WAL behind them: nobody wants that by mistake (Q6). */
  readonly isDrastic: boolean
}

/**
 * Decides what is forgotten; changes nothing. What is kept is the union of what the rules ask for and of what is never
 * forgotten (R67): the newest that can be used, the newest that is listed, the newest not known to be damaged, the newest
 * that `verify` found whole, all that are pinned, and what each timeline is reached from. Rules count usable backups only,
 * so that a broken one never pushes out a good one; broken ones go when they are older than everything that must be reached.
 */
export function planExpire(
  listed: readonly ListedBackup[],
  rules: KeepRules,
  knowledge: ExpireKnowledge,
): ExpirePlan {
  const sorted = listed.toSorted((one, other) => Number(one.stoppedAt - other.stoppedAt))
  const whyUnusable = createUsability(knowledge)
  const usable = sorted.filter((backup) => whyUnusable(backup) === undefined)
  const newest = usable.at(-1)
  if (!hasRules(rules)) return keepAll(sorted, { reason: 'no rule is set', hasRules: false })
  if (newest === undefined) return keepAll(sorted, { reason: 'no usable backup is known', hasRules: true })

  const wantedEdge = edgeOf(rules, usable, knowledge.nowMs)
  const edge = wantedEdge ?? newest.stoppedAt
  const needs = findBranchNeeds({ usable, listed, branches: knowledge.branches, edge })
  const reasons = new Reasons()
  applyRules(reasons, rules, usable)
  applyEdge(reasons, { rules, needs, edge }, { sorted, usable })
  protectNewest(reasons, { listed, sorted, usable }, knowledge)
  const needed = needs.flatMap(({ backups }) => backups.map(({ label }) => label))
  const onward = wantedEdge === undefined ? undefined : new Set(needed)
  return assemble(sorted, reasons, { onward, whyUnusable, listed, nowMs: knowledge.nowMs })
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

/**
 * What every moment since the edge is reached from on each branch, which is the newest backup from before it; and what is behind the edge: in a window all, and also without one what cannot be used now, but perhaps be mended.
 */
function applyEdge(
  reasons: Reasons,
  {
    rules,
    needs,
    edge,
  }: { readonly rules: KeepRules; readonly needs: readonly BranchNeed[]; readonly edge: Instant },
  { sorted, usable }: Pick<Backups, 'sorted' | 'usable'>,
): void {
  const since = `${formatInstant(edge).slice(0, 19)}Z`
  for (const { timeline, backups } of needs) {
    for (const [index, { label, stoppedAt }] of backups.entries())
      if (index === 0 || stoppedAt <= edge) reasons.add(label, `timeline ${timeline} since ${since}`)
  }
  const isUsable = new Set(usable)
  for (const backup of sorted.filter(({ stoppedAt }) => stoppedAt > edge)) {
    if (!isUsable.has(backup)) reasons.add(backup.label, `newer than ${since}`)
    else if (rules.window !== undefined) reasons.add(backup.label, 'window')
  }
}

interface Backups {
  /** As the catalogue lists them. */
  readonly listed: readonly ListedBackup[]
  /** By time. */
  readonly sorted: readonly ListedBackup[]
  readonly usable: readonly ListedBackup[]
}

/** What no rule may ever remove. The newest by time and by listing, so that a clock that jumped cannot make the newest look old. */
function protectNewest(
  reasons: Reasons,
  { listed, sorted, usable }: Backups,
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
  protect(sorted.findLast(isIntact), 'the newest not known to be damaged')
  protect(listed.findLast(isIntact), 'the newest not known to be damaged')
  protect(
    usable.findLast(({ label }) => proven.has(label)),
    'the newest that was verified',
  )
}

interface Verdicts extends Pick<Backups, 'listed'> {
  /** Undefined: nothing is known that does not need its WAL. */
  readonly onward: ReadonlySet<BackupLabel> | undefined
  readonly whyUnusable: (backup: ListedBackup) => string | undefined
  readonly nowMs: number
}

function assemble(
  sorted: readonly ListedBackup[],
  reasons: Reasons,
  { onward, whyUnusable, listed, nowMs }: Verdicts,
): ExpirePlan {
  const kept = sorted.filter(({ label }) => reasons.of(label).length > 0)
  const oldestOnward = kept.find(({ label }) => onward?.has(label) === true)
  const leadsOnward = (backup: ListedBackup): boolean =>
    onward === undefined ||
    onward.has(backup.label) ||
    // One that cannot be used now may be mended: behind the first that is needed it stays as it is.
    (whyUnusable(backup) !== undefined &&
      oldestOnward !== undefined &&
      backup.stoppedAt > oldestOnward.stoppedAt)
  const ownWal = kept
    .filter((backup) => backup.walRetention === 'onward' && !leadsOnward(backup))
    .map(({ label }) => label)
  const remove = sorted
    .filter(({ label }) => reasons.of(label).length === 0)
    .map((backup) => ({ label: backup.label, reason: whyUnusable(backup) ?? 'no rule keeps it' }))
  const changed = remove.length + ownWal.length
  return {
    hasRules: true,
    keep: kept.map(({ label, walRetention }) => ({
      label,
      reasons: reasons.of(label),
      walRetention: ownWal.includes(label) ? 'own' : walRetention,
    })),
    remove,
    ownWal,
    clockDoubt: changed === 0 ? undefined : doubtClock(listed, nowMs),
    isDrastic: changed * 2 > sorted.length,
  }
}

function keepAll(
  sorted: readonly ListedBackup[],
  { reason, hasRules: isRuled }: { readonly reason: string; readonly hasRules: boolean },
): ExpirePlan {
  return {
    hasRules: isRuled,
    keep: sorted.map(({ label, walRetention }) => ({ label, walRetention, reasons: [reason] })),
    remove: [],
    ownWal: [],
    clockDoubt: undefined,
    isDrastic: false,
  }
}
