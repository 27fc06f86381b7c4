import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { dayMs, sampleDayMs, sampleListed } from '../../test/support/sample-listed.ts'
import { parseBackupLabel, type BackupLabel } from '../domain/backup-label.ts'
import {
  contentsOf,
  everything,
  holdsAll,
  passwordsFact,
  pastFact,
  selectionFact,
  type DumpContents,
} from '../repository/dump-contents.ts'
import type { ListedDump } from '../repository/dump-entry.ts'
import type { KeepRules } from './keep-rules.ts'
import { planExpireDumps, type DumpExpirePlan } from './plan-expire-dumps.ts'

describe('planExpireDumps', () => {
  test('forgets nothing without a rule, also when there is a floor', () => {
    const plan = planned(days(1, 5), { minimum: 1 })

    assert.equal(plan.hasRules, false)
    assert.deepEqual([kept(plan), removed(plan)], [[1, 2, 3, 4, 5], []])
    assert.deepEqual(reasonsOf(plan, 1), ['no rule is set'])
  })

  test('keeps the newest by count', () => {
    const plan = planned(days(1, 5), { count: 3 })

    assert.deepEqual(
      [kept(plan), removed(plan)],
      [
        [3, 4, 5],
        [1, 2],
      ],
    )
    assert.deepEqual(reasonsOf(plan, 3), ['count 3'])
    assert.deepEqual(plan.remove[0]?.reason, 'no rule keeps it')
  })

  test('keeps the newest of each day, week, month and year in which there is one, in UTC', () => {
    const taken = [1, 1.4, 1.9, 2.5, 9, 33, 40].map((day) => ({ day }))

    assert.deepEqual(kept(planned(taken, { daily: 5 })), [1.9, 2.5, 9, 33, 40])
    assert.deepEqual(kept(planned(taken, { weekly: 3 })), [9, 33, 40])
    assert.deepEqual(kept(planned(taken, { monthly: 2 })), [9, 40])
    assert.deepEqual(kept(planned(taken, { yearly: 5 })), [40])
    assert.deepEqual(kept(planned(taken, { count: 2, monthly: 2 })), [9, 33, 40])
  })

  test('keeps with a window all that is younger, and never goes below the floor', () => {
    const rules = { window: 2 * dayMs }

    assert.deepEqual(kept(planned(days(1, 6), rules, { today: 6.5 })), [5, 6])
    assert.deepEqual(kept(planned(days(1, 6), rules, { today: 20 })), [6])
    assert.deepEqual(kept(planned(days(1, 6), { ...rules, minimum: 3 }, { today: 20 })), [4, 5, 6])
  })

  test('keeps pinned ones whatever the rules say, and counts them', () => {
    const plan = planned([{ day: 1, isPinned: true }, { day: 2 }, { day: 3, isPinned: true }, { day: 4 }], {
      count: 2,
    })

    assert.deepEqual(kept(plan), [1, 3, 4])
    assert.deepEqual(reasonsOf(plan, 1), ['pinned'])
  })

  describe('lets a dump be pushed out only by those that hold everything that it holds', () => {
    /** What is dumped when nothing is said. */
    const shop = ['shop']

    test('so that one of a single database leaves the last one of another alone', () => {
      const taken = [{ day: 1, databases: ['crm'] }, ...days(2, 9)]

      assert.deepEqual(kept(planned(taken, { count: 2 })), [1, 8, 9])
      assert.deepEqual(kept(planned(taken, { window: dayMs }, { today: 30 })), [1, 9])
    })

    test('so that one of all databases pushes out one of a single one, and not the other way round', () => {
      const all = ['crm', 'shop']
      const taken = [
        { day: 1, databases: all },
        { day: 2, databases: shop },
        { day: 3, databases: shop },
      ]

      assert.deepEqual(kept(planned(taken, { count: 1 })), [1, 3])
      assert.deepEqual(kept(planned([...taken, { day: 4, databases: all }], { count: 1 })), [4])
    })

    test('so that a database that was added keeps no older dump, and one that was dropped does', () => {
      const taken = [
        { day: 1, databases: shop },
        { day: 2, databases: ['new', 'shop'] },
      ]

      assert.deepEqual(kept(planned(taken, { count: 1 })), [2])
      const backwards = taken.map(({ databases }, index) => ({ day: 2 - index, databases }))
      assert.deepEqual(kept(planned(backwards.toReversed(), { count: 1 })), [1, 2])
    })

    test('so that a part counts as that part, and the whole as every part', () => {
      const orders = { databases: shop, selection: '--table=orders' }
      const log = { databases: shop, selection: '--table=log' }
      const taken = [{ day: 1 }, { day: 2, ...orders }, { day: 3, ...log }, { day: 4, ...orders }]

      assert.deepEqual(kept(planned(taken, { count: 1 })), [1, 3, 4])
      assert.deepEqual(kept(planned([...taken, { day: 5, databases: shop }], { count: 1 })), [5])
    })

    test('so that globals without passwords push out none with them', () => {
      const [none, some] = [{ globals: 'without' } as const, { globals: 'with' } as const]

      const taken = [{ day: 1, ...some }, { day: 2, ...none }, { day: 3 }]
      assert.deepEqual(kept(planned(taken, { count: 1 })), [1, 2, 3])
      assert.deepEqual(kept(planned([...taken, { day: 4, ...some }], { count: 1 })), [4])
    })

    test('so that one as of a moment of the past pushes out none of the server as it ran', () => {
      const taken = [{ day: 1 }, { day: 2, isPast: true }, { day: 3, isPast: true }]

      assert.deepEqual(kept(planned(taken, { count: 1 })), [1, 3])
      assert.deepEqual(kept(planned([...taken, { day: 4 }], { count: 1 })), [3, 4])
    })
  })

  describe('counts on nothing that is in doubt', () => {
    test('a damaged dump pushes out none, and goes when it would go anyway', () => {
      const plan = planned(days(1, 5), { count: 2 }, { damaged: [3, 5] })

      assert.deepEqual([kept(plan), removed(plan)], [[2, 3, 4, 5], [1]])
      const later = planned(days(1, 7), { count: 2 }, { damaged: [3, 5] })
      assert.deepEqual(kept(later), [6, 7])
      assert.equal(later.remove[2]?.reason, 'no rule keeps it, and it is damaged')
    })

    test('one that does not tell what it holds stays, with a warning, and pushes out none', () => {
      const plan = planned(days(1, 4), { count: 1 }, { unknown: [1, 4] })

      assert.deepEqual(kept(plan), [1, 3, 4])
      assert.deepEqual(reasonsOf(plan, 1), ['not known what it holds'])
      assert.match(
        warnings(plan),
        /dumps 20260101-000000L, 20260104-000000L do not tell.*holdfast delete LABEL/,
      )
    })

    test('one of the future stays, with a warning, and makes no other one old (T1)', () => {
      const plan = planned([...days(1, 4), { day: 4000 }], { count: 2 }, { today: 4 })

      assert.deepEqual(removed(plan), [1, 2])
      assert.equal(plan.clockDoubt, undefined)
      assert.match(warnings(plan), /a clock was wrong, so dump 20361213-000000L is not counted/)
    })

    test('the one that was listed last stays where clocks differ by a little', () => {
      const minute = 1 / 24 / 60

      assert.deepEqual(kept(planned([{ day: 2 }, { day: 2 - minute }], { count: 1 })), [2, 2])
    })
  })

  describe('doubts the clock when nothing came for too long (T1)', () => {
    test('and something would be forgotten', () => {
      const later = { today: 50 }

      assert.match(
        planned(days(1, 5), { count: 2 }, later).clockDoubt ?? '',
        /the newest backup or dump is 45 days old, where at most 30 days were expected/,
      )
      assert.equal(planned(days(1, 5), { count: 9 }, later).clockDoubt, undefined)
      const jumped = planned([...days(1, 5), { day: 3650 }], { window: dayMs })
      assert.match(jumped.clockDoubt ?? '', /no backup or dump ended in the 3645 days before/)
    })

    test('unless backups show that time went by', () => {
      const backups = Array.from({ length: 50 }, (_, index) => index + 1)

      assert.equal(planned(days(1, 5), { count: 2 }, { today: 50, backups }).clockDoubt, undefined)
    })
  })

  test('leaves of everything that goes as many newer dumps that hold it all as the floor asks for', () => {
    const parts = fc.subarray(['crm', 'hr', 'shop'], { minLength: 1 })
    const dumps = fc.array(
      fc.record({
        databases: parts,
        selection: fc.constantFrom(everything, '--table=orders'),
        isPinned: fc.boolean(),
      }),
      { maxLength: 12, minLength: 1 },
    )
    const rules = fc.record({ count: fc.nat(3), daily: fc.nat(3), minimum: fc.integer({ min: 1, max: 3 }) })
    const damage = fc.array(fc.integer({ min: 1, max: 12 }), { maxLength: 3 })
    fc.assert(
      fc.property(dumps, rules, damage, (taken, wanted, damaged) => {
        const all = taken.map((dump, index) => ({ ...dump, day: index + 1 }))
        const plan = planned(all, wanted, { damaged })
        const stays = all.filter(({ day }) => kept(plan).includes(day) && !damaged.includes(day))
        for (const one of all.filter(({ day }) => removed(plan).includes(day))) {
          assert.equal(one.isPinned, false)
          const newer = stays.filter((other) => other.day > one.day && holdsAll(held(other), held(one)))
          assert.ok(newer.length >= wanted.minimum, `${newer.length} are left of ${one.day}`)
        }
      }),
    )
  })

  test('calls it drastic when half or more would go, but not one of two', () => {
    assert.equal(planned(days(1, 2), { count: 1 }).isDrastic, false)
    assert.equal(planned(days(1, 3), { count: 1 }).isDrastic, true)
    assert.equal(planned(days(1, 4), { count: 2 }).isDrastic, true)
    assert.equal(planned(days(1, 5), { count: 3 }).isDrastic, false)
  })
})

interface SampleDump {
  /** Of 2026, when it ended: 1 is midnight of the first of January. */
  readonly day: number
  /** Default: shop. */
  readonly databases?: readonly string[]
  readonly globals?: 'with' | 'without'
  readonly selection?: string
  readonly isPast?: boolean
  readonly isPinned?: boolean
}

interface Given {
  readonly today?: number
  readonly damaged?: readonly number[]
  /** Of which nobody can tell what they hold. */
  readonly unknown?: readonly number[]
  /** When backups ended. */
  readonly backups?: readonly number[]
}

function planned(dumps: readonly SampleDump[], rules: Partial<KeepRules>, given: Given = {}): DumpExpirePlan {
  const { damaged = [], unknown = [], backups = [] } = given
  const today = given.today ?? Math.max(...dumps.map(({ day }) => day))
  const labelled = dumps.map((dump) => ({ dump, label: labelOf(dump) }))
  const known = labelled.filter(({ dump }) => !unknown.includes(dump.day))
  return planExpireDumps(
    {
      dumps: labelled.map(({ dump, label }) => sampleDump(dump, label)),
      backups: backups.map((day) => sampleListed({ day })),
    },
    { minimum: 1, ...rules },
    {
      nowMs: sampleDayMs(today),
      writtenAtMs: [],
      contents: new Map(known.map(({ dump, label }) => [label, held(dump)])),
      damaged: new Set(labelled.filter(({ dump }) => damaged.includes(dump.day)).map(({ label }) => label)),
    },
  )
}

const days = (first: number, last: number): readonly SampleDump[] =>
  Array.from({ length: last - first + 1 }, (_, index) => ({ day: first + index }))

function labelOf({ day }: SampleDump): BackupLabel {
  return parseBackupLabel(sampleListed({ day }).label.replace(/F$/, 'L'))
}

function sampleDump(
  { day, databases = ['shop'], isPinned = false }: SampleDump,
  label: BackupLabel,
): ListedDump {
  const { startedAt, stoppedAt } = sampleListed({ day })
  return {
    label,
    startedAt,
    stoppedAt,
    databases,
    databaseCount: databases.length,
    formats: ['custom'],
    rawBytes: 1,
    storedBytes: 1,
    headDigest: '',
    isPinned,
  }
}

function held({
  databases = ['shop'],
  globals,
  selection = everything,
  isPast = false,
}: Omit<SampleDump, 'day'>): DumpContents {
  const bytes = { rawBytes: 0, digest: '', parts: [] }
  const facts = {
    [selectionFact]: selection,
    ...(globals !== undefined && { [passwordsFact]: globals }),
    ...(isPast && { [pastFact]: '0/3000000' }),
  }
  const ofGlobals = { name: 'globals', kind: 'globals', database: undefined, format: 'plain', ...bytes }
  const ofDatabases = databases.map((database) => ({
    name: `database ${database}`,
    kind: 'database',
    database,
    format: 'custom',
    ...bytes,
  }))
  const members = globals === undefined ? ofDatabases : [ofGlobals, ...ofDatabases]
  return contentsOf({ members, facts }) ?? assert.fail()
}

/** As they were given, by the label. */
const dayOf = (label: string): number => {
  const [, month = '', date = '', hour = '', minute = ''] = /^2026(..)(..)-(..)(..)/.exec(label) ?? []
  const offset = (Number(hour) + Number(minute) / 60) / 24
  return Math.round(((month === '02' ? 31 : 0) + Number(date) + offset) * 10) / 10
}

const kept = ({ keep }: DumpExpirePlan): readonly number[] => keep.map(({ label }) => dayOf(label))
const removed = ({ remove }: DumpExpirePlan): readonly number[] => remove.map(({ label }) => dayOf(label))
const warnings = (plan: DumpExpirePlan): string =>
  plan.warnings.map(({ message, hint }) => `${message} ${hint}`).join('\n')
const reasonsOf = ({ keep }: DumpExpirePlan, day: number): readonly string[] =>
  keep.find(({ label }) => dayOf(label) === day)?.reasons ?? []
