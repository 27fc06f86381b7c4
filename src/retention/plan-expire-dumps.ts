import type { BackupLabel } from '../domain/backup-label.ts'
import type { Catalogue } from '../repository/catalogue.ts'
import { holdsAll, type DumpContents } from '../repository/dump-contents.ts'
import type { ListedDump } from '../repository/dump-entry.ts'
import { calendarBucket } from './calendar-bucket.ts'
import { doubtClock, findDoubtfulTimes, type Ended } from './doubt-clock.ts'
import { hasRules, periods, type KeepRules, type Period } from './keep-rules.ts'
import { namesOf, warnOfTimes, type PlanWarning } from './plan-warnings.ts'

/** Everything besides the catalogue and the rules that decides which dumps expire. */
export interface DumpKnowledge {
  readonly nowMs: number
  /** When the entries of the catalogue were stored, by the store's clock. */
  readonly writtenAtMs: readonly number[]
  /** What each dump holds; not in it: nobody can tell. */
  readonly contents: ReadonlyMap<BackupLabel, DumpContents>
  /** `verify` found them damaged. */
  readonly damaged: ReadonlySet<BackupLabel>
}

export interface DumpExpirePlan {
  /** False: no rule is set, and no dump expires. */
  readonly hasRules: boolean
  /** Every listed dump is in one of these two, oldest first. Reasons are never empty. */
  readonly keep: readonly { readonly label: BackupLabel; readonly reasons: readonly string[] }[]
  readonly remove: readonly { readonly label: BackupLabel; readonly reason: string }[]
  readonly warnings: readonly PlanWarning[]
  /** Why nothing must be forgotten by this clock; undefined when nothing speaks against it, or nothing would be. */
  readonly clockDoubt: string | undefined
  /** Half of the dumps or more would go: nobody wants that by mistake (Q6). */
  readonly isDrastic: boolean
}

/**
 * Decides which dumps are forgotten; changes nothing. A dump is only ever pushed out by newer ones that hold everything that
 * it holds: so one of a single database pushes out none that has another one, and the newest of whatever was dumped stays.
 * Damaged ones, those whose time cannot be believed and those of which nobody knows what they hold push out nothing; the
 * latter two stay, as pinned ones do.
 */
export function planExpireDumps(
  { dumps, backups }: Pick<Catalogue, 'dumps' | 'backups'>,
  rules: KeepRules,
  knowledge: DumpKnowledge,
): DumpExpirePlan {
  const sorted = dumps.toSorted((one, other) => Number(one.stoppedAt - other.stoppedAt))
  if (!hasRules(rules)) return keepAll(sorted)
  const doubtful = findDoubtfulTimes(dumps, knowledge.nowMs)
  const reasons = findReasons({ dumps, sorted, doubtful }, rules, knowledge)
  const reasonsOf = ({ label }: ListedDump): readonly string[] => reasons.get(label) ?? []
  const remove = sorted
    .filter((dump) => reasonsOf(dump).length === 0)
    .map(({ label }) => ({ label, reason: whyNotKept(knowledge.damaged.has(label)) }))
  const believed = [dumps, backups].flatMap((listed) => believedOf(listed, knowledge.nowMs))
  const moments = believed.toSorted((one, other) => Number(one.stoppedAt - other.stoppedAt))
  return {
    hasRules: true,
    keep: sorted
      .filter((dump) => reasonsOf(dump).length > 0)
      .map((dump) => ({ label: dump.label, reasons: reasonsOf(dump) })),
    remove,
    warnings: [...warnOfTimes({ listed: dumps, doubtful }), ...warnOfUnknown(dumps, knowledge)],
    clockDoubt:
      remove.length === 0 ? undefined : doubtClock({ ...knowledge, listed: moments, noun: 'backup or dump' }),
    // One of two goes in the usual course where one is kept.
    isDrastic: remove.length * 2 > dumps.length || (remove.length > 1 && remove.length * 2 === dumps.length),
  }
}

const believedOf = (listed: readonly Ended[], nowMs: number): readonly Ended[] => {
  const doubtful = findDoubtfulTimes(listed, nowMs)
  return listed.filter(({ label }) => !doubtful.has(label))
}

const whyNotKept = (isDamaged: boolean): string =>
  isDamaged ? 'no rule keeps it, and it is damaged' : 'no rule keeps it'

function keepAll(sorted: readonly ListedDump[]): DumpExpirePlan {
  return {
    hasRules: false,
    keep: sorted.map(({ label }) => ({ label, reasons: ['no rule is set'] })),
    remove: [],
    warnings: [],
    clockDoubt: undefined,
    isDrastic: false,
  }
}

interface Dumps {
  /** As the catalogue lists them. */
  readonly dumps: readonly ListedDump[]
  /** By time. */
  readonly sorted: readonly ListedDump[]
  /** Why the time of a dump cannot be believed. */
  readonly doubtful: ReadonlyMap<BackupLabel, string>
}

/** Why each dump stays; none: it goes. */
function findReasons(
  { dumps, sorted, doubtful }: Dumps,
  rules: KeepRules,
  { nowMs, contents, damaged }: DumpKnowledge,
): ReadonlyMap<BackupLabel, readonly string[]> {
  const counts = (label: BackupLabel): boolean => !damaged.has(label) && !doubtful.has(label)
  const counting = { counts, contents }
  const lastListed = new Set<BackupLabel>()
  lookBack(dumps, counting, ({ label }, newer) => void (newer?.count === 0 && lastListed.add(label)))
  const edge = rules.window === undefined ? undefined : BigInt(Math.floor(nowMs - rules.window)) * 1000n
  const reasons = new Map<BackupLabel, readonly string[]>()
  lookBack(sorted, counting, (dump, newer) => {
    const said: readonly (readonly [boolean, string])[] = [
      [dump.isPinned, 'pinned'],
      [newer === undefined, 'not known what it holds'],
      [edge !== undefined && dump.stoppedAt > edge, 'window'],
      // Where clocks differ by a little, the one that was just taken may not be the newest by its time.
      [lastListed.has(dump.label), 'the newest'],
      [doubtful.has(dump.label), 'its time cannot be believed'],
    ]
    const asked = newer === undefined ? [] : askedFor(newer, dump, rules)
    reasons.set(dump.label, [...asked, ...said.flatMap(([isSo, reason]) => (isSo ? [reason] : []))])
  })
  return reasons
}

interface Counting extends Pick<DumpKnowledge, 'contents'> {
  /** Whether it may push out others. */
  readonly counts: (label: BackupLabel) => boolean
}

/** Visits the last dump first, each with those that were visited before; undefined: nobody knows what it holds. */
function lookBack(
  dumps: readonly ListedDump[],
  { counts, contents }: Counting,
  visit: (dump: ListedDump, newer: Newer | undefined) => void,
): void {
  const byKey = new Map([...contents.values()].map((one) => [one.key, newCount(one)]))
  for (const dump of dumps.toReversed()) {
    const held = contents.get(dump.label)
    visit(dump, held && byKey.get(held.key))
    if (held !== undefined && counts(dump.label)) countFor(dump, held, byKey.values())
  }
}

/** For everything of which this dump holds all. */
function countFor({ stoppedAt }: ListedDump, held: DumpContents, all: Iterable<Counted>): void {
  for (const counted of all) {
    if (!holdsAll(held, counted.contents)) continue
    counted.count += 1
    for (const period of periods) counted.buckets[period].add(calendarBucket(stoppedAt, period))
  }
}

/** What count, floor and calendar ask for of a dump, by the newer ones that hold what it holds. */
function askedFor({ count, buckets }: Newer, { stoppedAt }: ListedDump, rules: KeepRules): readonly string[] {
  const { count: wanted = 0, minimum } = rules
  return [
    ...(count < wanted ? [`count ${wanted}`] : []),
    ...(count < minimum ? [`minimum ${minimum}`] : []),
    ...periods.flatMap((period) => {
      const bucket = calendarBucket(stoppedAt, period)
      const isAsked = !buckets[period].has(bucket) && buckets[period].size < (rules[period] ?? 0)
      return isAsked ? [`${period} ${bucket}`] : []
    }),
  ]
}

/** Of the dumps that were looked at before and hold everything that one holds. */
interface Newer {
  readonly count: number
  readonly buckets: Readonly<Record<Period, ReadonlySet<string>>>
}

interface Counted extends Newer {
  count: number
  readonly contents: DumpContents
  readonly buckets: Readonly<Record<Period, Set<string>>>
}

const newCount = (contents: DumpContents): Counted => ({
  contents,
  count: 0,
  buckets: { daily: new Set(), weekly: new Set(), monthly: new Set(), yearly: new Set() },
})

function warnOfUnknown(dumps: readonly ListedDump[], { contents }: DumpKnowledge): readonly PlanWarning[] {
  const unknown = dumps.filter(({ label, isPinned }) => !isPinned && !contents.has(label))
  if (unknown.length === 0) return []
  return [
    {
      message: `${namesOf(unknown)} ${unknown.length === 1 ? 'does' : 'do'} not tell what was dumped and ${unknown.length === 1 ? 'stays' : 'stay'}`,
      hint: 'Look at it with "holdfast info LABEL", and give it up with "holdfast delete LABEL" when others are enough.',
    },
  ]
}
