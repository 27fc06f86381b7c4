import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseTimelineHistory } from '../domain/timeline-history.ts'
import { toTimelineId } from '../domain/timeline.ts'
import type { Branch } from './branch-needs.ts'
import type { KeepRules } from './keep-rules.ts'
import { planExpire, type ExpireKnowledge, type ExpirePlan } from './plan-expire.ts'
import { dayMs, sampleDayMs, sampleListed, type SampleBackup } from '../../test/support/sample-listed.ts'

describe('planExpire', () => {
  test('forgets nothing without a rule, also when there is a floor', () => {
    const plan = planned([{ day: 1 }, { day: 2 }, { day: 3 }], { minimum: 1 })

    assert.equal(plan.hasRules, false)
    assert.deepEqual(kept(plan), [1, 2, 3])
  })

  test('keeps the newest by count and all WAL from the oldest of them on', () => {
    const plan = planned(days(1, 6), { count: 3 })

    assert.deepEqual(
      [kept(plan), removed(plan)],
      [
        [4, 5, 6],
        [1, 2, 3],
      ],
    )
    assert.deepEqual(plan.ownWal, [])
  })

  test('keeps with a window the newest backup from before it (R67)', () => {
    const plan = planned(days(1, 10), { window: 3 * dayMs }, { today: 10.5 })

    assert.deepEqual(kept(plan), [7, 8, 9, 10])
    assert.match(reasonsOf(plan, 7).join(), /^timeline 1 since 2026-01-07T12/)
    assert.deepEqual(reasonsOf(plan, 8), ['window'])
  })

  test('keeps a backup that ended exactly at the edge of the window as the one to begin with', () => {
    assert.deepEqual(kept(planned(days(1, 10), { window: 3 * dayMs }, { today: 10 })), [7, 8, 9, 10])
  })

  test('keeps the newest of each day, week, month and year in which there is one, in UTC', () => {
    const taken = [1, 1.4, 1.9, 2.5, 9, 33, 40].map((day) => ({ day }))

    assert.deepEqual(kept(planned(taken, { daily: 4 }, { today: 41 })), [2.5, 9, 33, 40])
    assert.deepEqual(kept(planned(taken, { monthly: 2 }, { today: 41 })), [9, 33, 40])
    assert.deepEqual(kept(planned(taken, { yearly: 5 }, { today: 41 })), [33, 40])
    assert.deepEqual(kept(planned(taken, { weekly: 3 }, { today: 41 })), [9, 33, 40])
  })

  test('keeps for older backups, pinned ones too, only their own WAL', () => {
    const backups = [{ day: 1, isPinned: true }, { day: 9 }, { day: 10 }, { day: 33 }, ...days(38, 40)]
    const plan = planned(backups, { window: dayMs, monthly: 2 }, { today: 40.5 })

    assert.deepEqual(
      [kept(plan), ownWal(plan)],
      [
        [1, 10, 39, 40],
        [1, 10],
      ],
    )
  })

  test('keeps all WAL where neither window nor count say from when on it is wanted', () => {
    assert.deepEqual(
      ownWal(planned([{ day: 1 }, { day: 33 }, { day: 70 }], { monthly: 2 }, { today: 71 })),
      [],
    )
  })

  test('does not begin with a backup of which only its own WAL is kept', () => {
    const plan = planned(
      [{ day: 1, walRetention: 'own' }, ...days(5, 9)],
      { window: 5 * dayMs },
      { today: 9.5 },
    )

    assert.deepEqual(kept(plan), [5, 6, 7, 8, 9])
    assert.deepEqual(plan.ownWal, [])
  })

  test('never goes below the floor', () => {
    assert.deepEqual(kept(planned(days(1, 5), { count: 1, minimum: 3 })), [3, 4, 5])
    assert.deepEqual(kept(planned(days(1, 5), { window: 1000, minimum: 2 }, { today: 20 })), [4, 5])
  })

  describe('never forgets (R67)', () => {
    test('the newest usable backup, nor anything when none is usable', () => {
      const plan = planned(days(1, 3), { count: 1, minimum: 1 }, { walMissing: [3], damaged: [1] })

      assert.deepEqual([kept(plan), removed(plan)], [[2, 3], [1]])
      assert.deepEqual(kept(planned(days(1, 3), { count: 1 }, { damaged: [1, 2, 3] })), [1, 2, 3])
    })

    test('the newest backup that is not known to be damaged', () => {
      const backups = [{ day: 1 }, { day: 2, damagedPageCount: 3 }, { day: 3 }]
      const plan = planned(backups, { count: 1, minimum: 1 }, { damaged: [3] })

      assert.ok(reasonsOf(plan, 2).includes('the newest not known to be damaged'))
    })

    test('the newest backup without damaged pages', () => {
      const backups = [
        { day: 1 },
        { day: 2 },
        { day: 3, damagedPageCount: 1 },
        { day: 4, damagedPageCount: 1 },
      ]

      assert.deepEqual(kept(planned(backups, { count: 1, minimum: 1 })), [2, 3, 4])
    })

    test('the newest backup that was verified', () => {
      const plan = planned(days(1, 5), { count: 2 }, { proven: [1, 2] })

      assert.deepEqual(kept(plan), [2, 4, 5])
      assert.deepEqual(reasonsOf(plan, 2), ['the newest that was verified'])
    })

    test('what is pinned', () => {
      assert.deepEqual(kept(planned([{ day: 1, isPinned: true }, ...days(2, 5)], { count: 2 })), [1, 4, 5])
    })

    test('a good backup because of a broken one: rules count usable backups', () => {
      const plan = planned(days(1, 6), { count: 3 }, { damaged: [4], walMissing: [6] })

      assert.deepEqual(kept(plan), [2, 3, 4, 5, 6])
      assert.deepEqual(removed(plan), [1])
    })

    test('the backup listed last, although a clock that went back makes it look old', () => {
      const plan = planned([{ day: 30 }, { day: 31 }, { day: 2 }], { count: 1, minimum: 1 })

      assert.deepEqual(kept(plan), [2, 31])
      assert.match(warnings(plan), /20260102-000000F is not counted/)
    })
  })

  test('forgets a broken backup that is older than everything that must be reached, and says why', () => {
    const backups = [{ day: 1, damagedPageCount: 7 }, ...days(2, 4)]

    assert.deepEqual(
      planned(backups, { count: 3 }).remove.map(({ reason }) => reason),
      ['it holds 7 damaged pages'],
    )
  })

  describe('with timelines', () => {
    // Timeline 2 left 1 behind day 2 and was abandoned; timeline 3 left 1 there too, and is where the server is now.
    const branches = [branch('2: 1 0/104'), branch('3: 1 0/108')]

    test('keeps what the present one is reached from, although newer backups are on an abandoned one', () => {
      const backups = [...days(1, 2), ...days(3, 8, 2)]

      const plan = planned(backups, { count: 2 }, { branches })

      assert.deepEqual(kept(plan), [2, 7, 8])
      assert.deepEqual(ownWal(plan), [])
    })

    test('forgets the abandoned one when its backups are older than what must be reached', () => {
      const backups = [...days(1, 2), ...days(3, 4, 2), ...days(5, 8, 3)]

      assert.deepEqual(kept(planned(backups, { count: 3 }, { branches })), [6, 7, 8])
    })

    test('keeps what a timeline without a new backup is reached from while its WAL is archived', () => {
      // A copy was promoted and takes backups under the same name; the original archives on.
      const original = { ...branch('1: '), archivedAtMs: sampleDayMs(3.7) }
      const backups = [...days(2, 3), { day: 3.5, timeline: 2 }, { day: 3.6, timeline: 2 }]

      const alive = planned(backups, { count: 2 }, { branches: [original, branch('2: 1 0/FA')], today: 3.7 })

      assert.deepEqual(kept(alive), [3, 3.5, 3.6])
      const idle = { ...original, archivedAtMs: sampleDayMs(3) }
      const over = planned(backups, { count: 2 }, { branches: [idle, branch('2: 1 0/FA')], today: 3.7 })
      assert.deepEqual([kept(over), over.isDrastic], [[3.5, 3.6], true])
    })

    test('forgets a stray promotion that never had a backup when its WAL is older than the edge', () => {
      const stray = { ...branch('2: 1 0/12C'), archivedAtMs: sampleDayMs(3) }
      const rules = { window: 3 * dayMs }

      const plan = planned(days(1, 20), rules, { branches: [branch('1: '), stray] })

      assert.deepEqual(kept(plan), [17, 18, 19, 20])
      const fresh = { ...stray, archivedAtMs: sampleDayMs(19) }
      const held = planned(days(1, 20), rules, { branches: [branch('1: '), fresh] })
      assert.deepEqual(kept(held), [2, 17, 18, 19, 20])
      assert.match(
        warnings(held),
        /timeline 2 has no backup, and keeps backup 20260102-000000F and all WAL since/,
      )
      assert.deepEqual(kept(planned(days(1, 2), rules, { branches: [stray], today: 20 })), [1, 2])
    })

    test('forgets nothing older than one of which nobody knows where it came from, until it has its own', () => {
      const unknown = [{ timeline: toTimelineId(3), history: undefined }]
      const backups = [...days(1, 2), ...days(3, 5, 2), ...days(6, 8, 3)]

      assert.deepEqual(
        kept(planned(backups.slice(0, -3), { count: 2 }, { branches: unknown })),
        [1, 2, 3, 4, 5],
      )
      assert.deepEqual(kept(planned(backups, { count: 2 }, { branches: unknown })), [7, 8])
    })
  })

  describe('doubts the clock (T1)', () => {
    const rules = { count: 2 }

    test('when nothing came for as long before one of the newest backups: its clock was that of now', () => {
      const jumped = [...days(1, 5), { day: 3650 }]

      assert.match(planned(jumped, rules).clockDoubt ?? '', /no backup ended in the 3645 days before/)
      assert.match(planned([...jumped, { day: 3651 }], rules).clockDoubt ?? '', /3645 days/)
    })

    test('when nothing was listed for as long by the clock of the store', () => {
      const writtenAtMs = [1, 2, 3, 4, 5].map(sampleDayMs)

      assert.equal(planned(days(1, 5), rules, { writtenAtMs }).clockDoubt, undefined)
      const late = writtenAtMs.map((at) => at - 40 * dayMs)
      assert.match(planned(days(1, 5), rules, { writtenAtMs: late }).clockDoubt ?? '', /nothing was listed/)
      const gap = [...late, sampleDayMs(5), sampleDayMs(5) + 1]
      assert.match(planned(days(1, 5), rules, { writtenAtMs: gap }).clockDoubt ?? '', /the 40 days before/)
    })

    test('when nothing came for ten times as long as usual, and 30 days at least', () => {
      assert.match(planned(days(1, 5), rules, { today: 36 }).clockDoubt ?? '', /31 days old.*at most 30 days/)
      assert.equal(planned(days(1, 5), rules, { today: 34.9 }).clockDoubt, undefined)
      const monthly = [1, 31, 61, 91].map((day) => ({ day }))
      assert.equal(planned(monthly, rules, { today: 360 }).clockDoubt, undefined)
      assert.match(planned(monthly, rules, { today: 400 }).clockDoubt ?? '', /309 days old/)
    })

    test('only when something would be forgotten', () => {
      assert.equal(planned(days(1, 2), rules, { today: 2000 }).clockDoubt, undefined)
      assert.match(planned(days(1, 5), rules, { today: 2_900_000 }).clockDoubt ?? '', /9965/)
    })
  })

  describe('does not count a backup whose time cannot be true (T1)', () => {
    test('because it ended later than now, and plans with the others', () => {
      const ahead = planned([...days(1, 5), { day: 20 }], { count: 3 }, { today: 6 })

      assert.deepEqual(
        [kept(ahead), removed(ahead)],
        [
          [3, 4, 5, 20],
          [1, 2],
        ],
      )
      assert.match(
        warnings(ahead),
        /20260120-000000F is not counted: it is 2026-01-06.*delete 20260120-000000F/,
      )
      assert.equal(ahead.clockDoubt, undefined)
      assert.deepEqual(removed(planned(days(1, 5), { count: 2 }, { today: 4.995 })), [1, 2, 3])
    })

    test('until what must be reached begins behind it', () => {
      const glitch = [...days(1, 3), { day: 9 }, ...days(4, 8)]

      assert.deepEqual(kept(planned(glitch, { count: 6 }, { today: 10 })), [3, 4, 5, 6, 7, 8, 9])
      assert.deepEqual(removed(planned(glitch, { count: 4 }, { today: 10 })), [1, 2, 3, 4, 9])
    })

    test('and keeps everything when that is so of all', () => {
      const behind = planned(days(1, 8), { count: 1 }, { today: -400 })

      assert.deepEqual(kept(behind), [1, 2, 3, 4, 5, 6, 7, 8])
      assert.match(warnings(behind), /and 3 older ones are not counted: it is 2024-/)
      assert.equal(behind.warnings.length, 2)
    })
  })

  describe('with backups of which nobody can tell whether they can be used (R67)', () => {
    const old = [1, 2, 3].map((day) => ({ day, walRetention: 'own' as const }))

    test('gives nothing of them up, and none of the WAL behind them', () => {
      const plan = planned(
        [...old, ...days(10, 17)],
        { window: 3 * dayMs },
        { unknown: [10, 11, 12, 13, 14, 15, 16, 17] },
      )

      assert.deepEqual(kept(plan), [2, 3, 10, 11, 12, 13, 14, 15, 16, 17])
      assert.deepEqual(ownWal(plan), [])
      assert.match(warnings(plan), /13, 14|cannot be judged and stay: its history is damaged/)
    })

    test('does not count them', () => {
      const plan = planned(days(1, 6), { count: 2 }, { unknown: [5, 6] })

      assert.deepEqual(
        [kept(plan), removed(plan)],
        [
          [3, 4, 5, 6],
          [1, 2],
        ],
      )
    })
  })

  describe('when no usable backup leads onward (R67)', () => {
    const old = [1, 2, 3].map((day) => ({ day, walRetention: 'own' as const }))

    test('keeps all WAL, and every backup that leads onward', () => {
      const broken = days(10, 17).map(({ day }) => ({ day, damagedPageCount: 1 }))
      for (const rules of [{ window: 3 * dayMs }, { count: 2 }]) {
        const plan = planned([...old, ...broken], rules)

        assert.deepEqual(kept(plan).slice(-8), [10, 11, 12, 13, 14, 15, 16, 17])
        assert.deepEqual(ownWal(plan), [])
        assert.match(warnings(plan), /no usable backup leads to what must stay reachable/)
      }
    })

    test('says so when none is usable at all', () => {
      assert.match(
        warnings(planned(days(1, 3), { count: 1 }, { walMissing: [1, 2, 3] })),
        /none of 3 backups/,
      )
    })
  })

  test('keeps the newest from before the edge that may be mended, with the WAL behind it', () => {
    const rules = { window: 3 * dayMs }

    const plan = planned(days(1, 10), rules, { today: 10.5, walMissing: [5, 6, 7] })

    assert.deepEqual(kept(plan), [4, 7, 8, 9, 10])
    assert.deepEqual(ownWal(plan), [])
    assert.deepEqual(kept(planned(days(1, 10), rules, { today: 10.5, damaged: [6, 7] })), [5, 8, 9, 10])
  })

  test('calls it drastic when half or more would go or lose the WAL behind them (Q6)', () => {
    assert.equal(planned(days(1, 6), { count: 4 }).isDrastic, false)
    assert.equal(planned(days(1, 6), { count: 3 }).isDrastic, true)
    assert.equal(planned(days(1, 2), { count: 1, minimum: 1 }).isDrastic, false)
    assert.equal(planned(days(1, 6), { count: 2 }).isDrastic, true)
    const pins = days(1, 6).map(({ day }) => ({ day, isPinned: true }))
    assert.equal(planned(pins, { count: 2 }).isDrastic, true)
  })
})

interface Given extends Partial<Pick<ExpireKnowledge, 'branches' | 'writtenAtMs'>> {
  readonly today?: number
  readonly damaged?: readonly number[]
  readonly walMissing?: readonly number[]
  readonly proven?: readonly number[]
  /** Of which nobody can tell. */
  readonly unknown?: readonly number[]
}

/** Backups are named by the day of 2026 on which they ended, 1 at midnight of the first of January. */
function planned(backups: readonly SampleBackup[], rules: Partial<KeepRules>, given: Given = {}): ExpirePlan {
  const { today, branches = [branch('1: ')], damaged = [], walMissing = [], proven = [] } = given
  const { unknown = [], writtenAtMs = [] } = given
  const newest = Math.max(...backups.map(({ day }) => day))
  const labels = (wanted: readonly number[]) =>
    new Set(backups.filter(({ day }) => wanted.includes(day)).map((backup) => sampleListed(backup).label))
  return planExpire(
    backups.map(sampleListed),
    { minimum: 2, ...rules },
    {
      nowMs: sampleDayMs(today ?? newest),
      branches,
      damaged: labels(damaged),
      walMissing: labels(walMissing),
      proven: labels(proven),
      unknown: new Map([...labels(unknown)].map((label) => [label, 'its history is damaged'])),
      writtenAtMs,
    },
  )
}

const days = (first: number, last: number, timeline = 1): readonly SampleBackup[] =>
  Array.from({ length: last - first + 1 }, (_, index) => ({ day: first + index, timeline }))

const dayOf = (label: string): number => {
  const [, month = '', date = '', hour = '', minute = ''] = /^2026(..)(..)-(..)(..)/.exec(label) ?? []
  const offset = (Number(hour) + Number(minute) / 60) / 24
  return Math.round(((month === '02' ? 31 : 0) + Number(date) + offset) * 10) / 10
}

const kept = ({ keep }: ExpirePlan): readonly number[] => keep.map(({ label }) => dayOf(label))
const removed = ({ remove }: ExpirePlan): readonly number[] => remove.map(({ label }) => dayOf(label))
const ownWal = (plan: ExpirePlan): readonly number[] => plan.ownWal.map(dayOf)
const warnings = (plan: ExpirePlan): string =>
  plan.warnings.map(({ message, hint }) => `${message} ${hint}`).join('\n')
const reasonsOf = ({ keep }: ExpirePlan, day: number): readonly string[] =>
  keep.find(({ label }) => dayOf(label) === day)?.reasons ?? []

/** `TIMELINE: PARENT FORK` */
function branch(text: string): Branch {
  const [timeline = '', history = ''] = text.split(':')
  const id = toTimelineId(Number(timeline))
  return { timeline: id, history: parseTimelineHistory(id, history.trim()) }
}
