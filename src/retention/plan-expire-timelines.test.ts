import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { dayMs, sampleDayMs, sampleListed } from '../../test/support/sample-listed.ts'
import { toLsn } from '../domain/lsn.ts'
import { isReachable, type TimelineHistory } from '../domain/timeline-history.ts'
import { toTimelineId } from '../domain/timeline.ts'
import type { ListedBackup } from '../repository/backup-entry.ts'
import type { Branch } from './branch-needs.ts'
import { planExpire } from './plan-expire.ts'

/** What happened to a cluster, in hours: backups, and recoveries to an earlier moment. */
type Step =
  | { readonly kind: 'backup'; readonly hours: number; readonly isDamaged: boolean }
  /** `backBy`: of 100, how much of the way since the beginning is given up. */
  | { readonly kind: 'recover'; readonly hours: number; readonly backBy: number }

interface Story {
  readonly listed: readonly ListedBackup[]
  readonly histories: readonly TimelineHistory[]
  readonly damaged: ReadonlySet<ListedBackup['label']>
  readonly endDay: number
}

describe('planExpire, on any history with recoveries', () => {
  test('leaves every moment since the edge reachable on the timeline that the server is on (R67)', () => {
    check((story, branches) => branches.slice(-1).map(({ history }) => history ?? story.histories[0]))
  })

  test('leaves every moment since the edge reachable on each timeline with a backup from then', () => {
    check((story, branches, edge) =>
      branches
        .filter(({ history }) => onPath(history, story.listed).some((backup) => endMs(backup) > edge))
        .map(({ history }) => history),
    )
  })

  test('keeps every way that may lead to a timeline whose origin is unknown', () => {
    check(
      (story) => story.histories.slice(-1),
      (branch, index, all) => (index === all.length - 1 ? { ...branch, history: undefined } : branch),
    )
  })
})

type Hide = (branch: Branch, index: number, all: readonly Branch[]) => Branch

/** On the chosen ways the newest backup before each moment must be the same as before, if there was any. */
function check(
  choose: (
    story: Story,
    branches: readonly Branch[],
    edge: number,
  ) => readonly (TimelineHistory | undefined)[],
  hide: Hide = (branch) => branch,
): void {
  fc.assert(
    fc.property(anyStory, anyRules, (story, rules) => {
      const { listed, histories, damaged, endDay } = story
      const branches = histories.map(({ timeline }, index): Branch => ({
        timeline,
        history: histories[index],
      }))
      const nowMs = sampleDayMs(endDay)
      const usable = listed.filter(({ label }) => !damaged.has(label))
      fc.pre(usable.length > 0)
      const counted = usable.slice(-(rules.count ?? 1))[0]
      const edge = rules.window === undefined ? endMs(counted ?? assert.fail()) : nowMs - rules.window

      const knowledge = {
        nowMs,
        branches: branches.map(hide),
        damaged,
        walMissing: new Set<never>(),
        unknown: new Map(),
        writtenAtMs: [],
      }
      const plan = planExpire(listed, rules, { ...knowledge, proven: new Set<never>() })

      const onward = new Set<string>(
        plan.keep.filter(({ walRetention }) => walRetention === 'onward').map(({ label }) => label),
      )
      for (const history of choose(story, branches, edge)) {
        const before = onPath(history, usable)
        const after = before.filter(({ label }) => onward.has(label))
        for (const moment of [edge, ...before.map(endMs).filter((end) => end > edge)]) {
          const [was, is] = [newestBefore(before, moment), newestBefore(after, moment)]
          // By count nothing is promised of single backups, but that there is a way.
          assert.equal(is === undefined, was === undefined)
          if (rules.window !== undefined) assert.equal(is?.label, was?.label)
        }
      }
    }),
    { numRuns: 1500 },
  )
}

const endMs = ({ stoppedAt }: ListedBackup): number => Number(stoppedAt / 1000n)

const onPath = (
  history: TimelineHistory | undefined,
  backups: readonly ListedBackup[],
): readonly ListedBackup[] =>
  backups.filter(
    ({ timeline, stopLsn }) => history !== undefined && isReachable(history, { timeline, lsn: stopLsn }),
  )

const newestBefore = (backups: readonly ListedBackup[], moment: number): ListedBackup | undefined =>
  backups.findLast((backup) => endMs(backup) <= moment)

const hours = fc.integer({ min: 1, max: 200 })

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('backup' as const),
      hours,
      isDamaged: fc.nat(9).map((roll) => roll === 0),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('recover' as const),
      hours,
      backBy: fc.integer({ min: 1, max: 90 }),
    }),
  },
)

const anyStory = fc.array(anyStep, { minLength: 2, maxLength: 25 }).map((steps) => tell(steps))

const anyRules = fc
  .record({
    byWindow: fc.boolean(),
    amount: fc.integer({ min: 1, max: 8 }),
    weekly: fc.option(fc.integer({ min: 1, max: 4 }), { nil: undefined }),
  })
  .map(({ byWindow, amount, weekly }) => ({
    count: byWindow ? undefined : amount,
    window: byWindow ? amount * 5 * dayMs : undefined,
    weekly,
    minimum: 1,
  }))

/** Positions in the WAL grow by 1000 an hour; a recovery goes back to one and on from there on a new timeline. */
function tell(steps: readonly Step[]): Story {
  const listed: ListedBackup[] = []
  const damaged = new Set<ListedBackup['label']>()
  let history: TimelineHistory = { timeline: toTimelineId(1), ancestors: [] }
  const histories = [history]
  let hour = 0
  let position = 1000
  for (const step of steps) {
    hour += step.hours
    position += 1000 * step.hours
    if (step.kind === 'recover') {
      position = Math.ceil(position * (1 - step.backBy / 100))
      history = fork(history, position, histories.length + 1)
      histories.push(history)
      continue
    }
    const backup = sampleListed({ day: 1 + hour / 24, timeline: history.timeline })
    listed.push({ ...backup, startLsn: toLsn(BigInt(position - 500)), stopLsn: toLsn(BigInt(position)) })
    if (step.isDamaged) damaged.add(backup.label)
  }
  return { listed, histories, damaged, endDay: 1 + hour / 24 }
}

/** Timelines that were left behind the point of recovery are no ancestors of the new one: it never was on them. */
function fork({ timeline, ancestors }: TimelineHistory, position: number, newest: number): TimelineHistory {
  const endLsn = toLsn(BigInt(position))
  const before = ancestors.filter((ancestor) => ancestor.endLsn < endLsn)
  const left = ancestors.find((ancestor) => ancestor.endLsn >= endLsn)?.timeline ?? timeline
  return {
    timeline: toTimelineId(newest),
    ancestors: [...before, { timeline: left, endLsn, reason: 'recovered' }],
  }
}
