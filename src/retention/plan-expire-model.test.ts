import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { dayMs, sampleDayMs, sampleListed } from '../../test/support/sample-listed.ts'
import { parseTimelineHistory } from '../domain/timeline-history.ts'
import { toTimelineId } from '../domain/timeline.ts'
import type { ListedBackup } from '../repository/backup-entry.ts'
import { planExpire, type ExpireKnowledge, type ExpirePlan } from './plan-expire.ts'
import { hasRules, type KeepRules } from './keep-rules.ts'

interface Case {
  /** On one timeline, in the order in which they were taken. */
  readonly listed: readonly ListedBackup[]
  readonly rules: KeepRules
  readonly knowledge: ExpireKnowledge
}

describe('planExpire, on any history of one timeline', () => {
  test('keeps exactly what a model that looks at one backup at a time keeps (R67)', () => {
    fc.assert(
      fc.property(anyCase, (given) => {
        const plan = planExpire(given.listed, given.rules, given.knowledge)

        assert.deepEqual(keptLabels(plan), modelOf(given))
        assert.equal(plan.keep.length + plan.remove.length, given.listed.length)
        assert.ok(plan.keep.every(({ reasons }) => reasons.length > 0))
      }),
      { numRuns: 2000 },
    )
  })

  test('leaves every moment of the window reachable that was reachable before', () => {
    fc.assert(
      fc.property(anyCase, (given) => {
        const plan = planExpire(given.listed, given.rules, given.knowledge)
        const before = given.listed.filter((backup) => isUsable(backup, given) && isOnward(backup))
        const after = before.filter(({ label }) =>
          plan.keep.some((kept) => kept.label === label && kept.walRetention === 'onward'),
        )
        const edge = edgeOf(given)

        for (const moment of [edge, ...before.map(endMs)].filter((at) => at >= edge)) {
          assert.equal(newestBefore(after, moment)?.label, newestBefore(before, moment)?.label)
        }
      }),
      { numRuns: 1000 },
    )
  })

  test('has nothing more to forget when it is made again', () => {
    fc.assert(
      fc.property(anyCase, ({ listed, rules, knowledge }) => {
        const plan = planExpire(listed, rules, knowledge)
        const left = listed.flatMap((backup): readonly ListedBackup[] => {
          const kept = plan.keep.find(({ label }) => label === backup.label)
          return kept === undefined ? [] : [{ ...backup, walRetention: kept.walRetention }]
        })

        const again = planExpire(left, rules, knowledge)

        assert.deepEqual([again.remove, again.ownWal], [[], []])
      }),
      { numRuns: 1000 },
    )
  })

  test('keeps the same good backups whether there are broken ones or not', () => {
    fc.assert(
      fc.property(anyCase, (given) => {
        const good = given.listed.filter((backup) => isUsable(backup, given))
        fc.pre(good.length > 0)
        const isGood = new Set<string>(good.map(({ label }) => label))
        const { rules, knowledge } = given

        const plan = planExpire(given.listed, rules, knowledge)

        // The last one listed may be protected besides, when only damaged pages speak against it.
        assert.deepEqual(
          keptLabels(plan).filter((label) => isGood.has(label)),
          keptLabels(planExpire(good, rules, knowledge)),
        )
      }),
      { numRuns: 1000 },
    )
  })

  test('forgets nothing else when something is pinned', () => {
    fc.assert(
      fc.property(anyCase, fc.nat(), ({ listed, rules, knowledge }, pick) => {
        const pinned = listed[pick % listed.length]
        const withPin = listed.map((backup) => (backup === pinned ? { ...backup, isPinned: true } : backup))

        const kept = new Set(keptLabels(planExpire(withPin, rules, knowledge)))

        assert.ok(pinned === undefined || kept.has(pinned.label))
        for (const label of keptLabels(planExpire(listed, rules, knowledge))) assert.ok(kept.has(label))
      }),
      { numRuns: 1000 },
    )
  })
})

/** Every label for which some rule says yes, each rule looked up by counting what is newer. */
function modelOf(given: Case): readonly string[] {
  const { listed, rules, knowledge } = given
  const usable = listed.filter((backup) => isUsable(backup, given))
  if (!hasRules(rules) || usable.length === 0) return listed.map(({ label }) => label)
  const edge = edgeOf(given)
  const onward = usable.filter(isOnward)
  const floor = endMsOf(onward.findLast((backup) => endMs(backup) <= edge))
  const mayBeMended = (backup: ListedBackup): boolean =>
    isOnward(backup) && !usable.includes(backup) && !knowledge.damaged.has(backup.label)
  const inWindow = (backup: ListedBackup): boolean => endMs(backup) > edge && rules.window !== undefined
  const counted = (backup: ListedBackup): boolean =>
    usable.includes(backup) && newer(backup, usable).length < Math.max(rules.count ?? 0, rules.minimum)
  const says: readonly ((backup: ListedBackup) => boolean)[] = [
    ({ isPinned }) => isPinned,
    counted,
    inWindow,
    (backup) => !usable.includes(backup) && endMs(backup) > edge,
    isNewestOf(listed.filter(({ label }) => !knowledge.damaged.has(label))),
    isNewestOf(usable.filter(({ label }) => knowledge.proven.has(label))),
    isNewestOf(onward.filter((backup) => endMs(backup) <= edge)),
    (backup) => onward[0] === backup && endMs(backup) > edge,
    isNewestOf(
      listed.filter((backup) => mayBeMended(backup) && endMs(backup) <= edge && endMs(backup) > floor),
    ),
    (backup) => onward.length === 0 && isOnward(backup),
    ...bucketRules(rules).map(
      ([count, bucketOf]) =>
        (backup: ListedBackup) =>
          usable.includes(backup) && isInBuckets(backup, { among: usable, count, bucketOf }),
    ),
  ]
  return listed.filter((backup) => says.some((rule) => rule(backup))).map(({ label }) => label)
}

const newer = (than: ListedBackup, among: readonly ListedBackup[]): readonly ListedBackup[] =>
  among.filter((backup) => endMs(backup) > endMs(than))

const isNewestOf =
  (among: readonly ListedBackup[]) =>
  (backup: ListedBackup): boolean =>
    among.includes(backup) && newer(backup, among).length === 0

type BucketOf = (at: Date) => string

const bucketRules = (rules: KeepRules): readonly (readonly [number, BucketOf])[] => [
  [rules.daily ?? 0, (at) => at.toISOString().slice(0, 10)],
  // Whole weeks since a Monday.
  [rules.weekly ?? 0, (at) => String(Math.floor((at.getTime() - Date.UTC(2024, 0, 1)) / (7 * dayMs)))],
  [rules.monthly ?? 0, (at) => at.toISOString().slice(0, 7)],
  [rules.yearly ?? 0, (at) => at.toISOString().slice(0, 4)],
]

function isInBuckets(
  backup: ListedBackup,
  { among, count, bucketOf }: { among: readonly ListedBackup[]; count: number; bucketOf: BucketOf },
): boolean {
  const bucket = (one: ListedBackup): string => bucketOf(new Date(endMs(one)))
  const later = new Set(newer(backup, among).map(bucket))
  return !later.has(bucket(backup)) && later.size < count
}

function edgeOf(given: Case): number {
  const { listed, rules, knowledge } = given
  const ends = listed.filter((backup) => isUsable(backup, given)).map(endMs)
  if (rules.window !== undefined) return knowledge.nowMs - rules.window
  return ends.slice(-(rules.count ?? 1))[0] ?? 0
}

const endMs = ({ stoppedAt }: ListedBackup): number => Number(stoppedAt / 1000n)
const endMsOf = (backup: ListedBackup | undefined): number => (backup === undefined ? 0 : endMs(backup))
const isOnward = ({ walRetention }: ListedBackup): boolean => walRetention === 'onward'
const isUsable = ({ label, damagedPageCount }: ListedBackup, { knowledge }: Case): boolean =>
  !knowledge.damaged.has(label) && !knowledge.walMissing.has(label) && damagedPageCount === 0
const newestBefore = (backups: readonly ListedBackup[], at: number): ListedBackup | undefined =>
  backups.findLast((backup) => endMs(backup) <= at)
const keptLabels = ({ keep }: ExpirePlan): readonly string[] => keep.map(({ label }) => label)

const rarely = fc.nat(7).map((roll) => roll === 0)
const anyCount = fc.option(fc.integer({ min: 1, max: 8 }), { nil: undefined, freq: 2 })

const anyRules: fc.Arbitrary<KeepRules> = fc.record({
  count: anyCount,
  window: fc.option(
    fc.integer({ min: 1, max: 100 }).map((days) => days * dayMs),
    { nil: undefined },
  ),
  daily: anyCount,
  weekly: anyCount,
  monthly: anyCount,
  yearly: anyCount,
  minimum: fc.integer({ min: 1, max: 4 }),
})

const anyBackup = fc.record({
  /** Hours since the one before. */
  pause: fc.oneof(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 100, max: 3000 })),
  isPinned: rarely,
  hasDamagedPages: rarely,
  isDamaged: rarely,
  isWalMissing: rarely,
  isProven: rarely,
})

const timeline = toTimelineId(1)

const anyCase: fc.Arbitrary<Case> = fc
  .record({
    backups: fc.array(anyBackup, { minLength: 1, maxLength: 20 }),
    ownCount: fc.nat(4),
    rules: anyRules,
    hoursSince: fc.nat(2000),
  })
  .map(({ backups, ownCount, rules, hoursSince }) => {
    let day = 1
    const listed = backups.map(({ pause, isPinned, hasDamagedPages }, index) => {
      day += pause / 24
      const walRetention = index < ownCount ? 'own' : 'onward'
      return sampleListed({ day, isPinned, damagedPageCount: hasDamagedPages ? 3 : 0, walRetention })
    })
    const those = (isMeant: (backup: (typeof backups)[number]) => boolean) =>
      new Set(listed.filter((_, index) => isMeant(backups[index] ?? assert.fail())).map(({ label }) => label))
    const knowledge = {
      nowMs: sampleDayMs(day + hoursSince / 24),
      branches: [{ timeline, history: parseTimelineHistory(timeline, '') }],
      damaged: those(({ isDamaged }) => isDamaged),
      walMissing: those(({ isWalMissing }) => isWalMissing),
      proven: those(({ isProven }) => isProven),
      unknown: new Map<never, never>(),
      writtenAtMs: [],
    }
    return { listed, rules, knowledge }
  })
