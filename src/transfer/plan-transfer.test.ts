import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { sampleDayMs, sampleListed } from '../../test/support/sample-listed.ts'
import { parseBackupLabel } from '../domain/backup-label.ts'
import { instantFromMs } from '../domain/target-time.ts'
import type { ListedBackup } from '../repository/backup-entry.ts'
import type { ListedDump } from '../repository/dump-entry.ts'
import { planTransfer, type TransferFacts, type TransferPlan } from './plan-transfer.ts'

const [first, second, third] = [1, 2, 3].map((day) => sampleListed({ day })) as [
  ListedBackup,
  ListedBackup,
  ListedBackup,
]

describe('planTransfer', () => {
  test('copies what the other repository lacks, oldest first', () => {
    assert.deepEqual(labelsOf(plan({ source: [third, first, second], target: [] })), [
      first.label,
      second.label,
      third.label,
    ])
    assert.deepEqual(labelsOf(plan({ source: [first, second, third], target: [first, third] })), [
      second.label,
    ])
  })

  test('brings nothing back that the other repository has listed before', () => {
    const everListed = new Set([second.label])

    const { backups, forgotten } = plan({ source: [first, second, third], target: [third], everListed })

    assert.deepEqual([backups, forgotten], [[first], [second.label]])
  })

  test('brings nothing back that is older than what the other catalogue still tells', () => {
    const toldSince = second.stoppedAt

    const { backups, forgotten } = plan({ source: [first, second, third], target: [third], toldSince })

    assert.deepEqual([backups, forgotten], [[second], [first.label]])
  })

  test('brings back what is asked for by name, and nothing else', () => {
    const facts = { source: [first, second, third], target: [third], everListed: new Set([second.label]) }

    assert.deepEqual(labelsOf(plan({ ...facts, wanted: [second.label] })), [second.label])
    assert.deepEqual(labelsOf(plan({ ...facts, wanted: [second.label, second.label] })), [second.label])
    assert.throws(() => plan({ source: [first], target: [], wanted: [second.label] }), { code: 'not-found' })
  })

  test('does the same with dumps', () => {
    const [one, other] = [sampleDump(1), sampleDump(2)]
    const facts = { source: [second], sourceDumps: [other, one], target: [second] }

    assert.deepEqual(plan(facts).dumps, [one, other])
    const { dumps, forgotten } = plan({ ...facts, everListed: new Set([one.label]) })
    assert.deepEqual([dumps, forgotten], [[other], [one.label]])
    const asked = plan({ ...facts, target: [], everListed: new Set([one.label]), wanted: [one.label] })
    assert.deepEqual([asked.dumps, asked.backups], [[one], []])
    const twin = { ...one, rawBytes: one.rawBytes + 1 }
    assert.deepEqual(plan({ ...facts, targetDumps: [twin] }).twins, [one.label])
    const wanted = [sampleDump(3).label]
    assert.throws(() => plan({ ...facts, wanted }), { code: 'not-found', message: /copying dump / })
  })

  test('tells of labels that stand for different backups', () => {
    const other = { ...first, restoredBytes: first.restoredBytes + 1 }

    const { backups, twins } = plan({ source: [first, second], target: [other, second] })

    assert.deepEqual([backups, twins], [[], [first.label]])
  })
})

interface Facts extends Partial<Omit<TransferFacts, 'source' | 'target'>> {
  readonly source: readonly ListedBackup[]
  readonly target: readonly ListedBackup[]
  readonly sourceDumps?: readonly ListedDump[]
  readonly targetDumps?: readonly ListedDump[]
}

function plan({ source, target, sourceDumps = [], targetDumps = [], ...facts }: Facts): TransferPlan {
  return planTransfer({
    source: { backups: source, dumps: sourceDumps },
    target: { backups: target, dumps: targetDumps },
    everListed: new Set(),
    toldSince: undefined,
    wanted: [],
    ...facts,
  })
}

function sampleDump(day: number): ListedDump {
  const startedAt = instantFromMs(sampleDayMs(day))
  return {
    label: parseBackupLabel(`2026010${day}-000000L`),
    startedAt,
    stoppedAt: startedAt,
    databases: ['app'],
    databaseCount: 1,
    formats: ['custom'],
    rawBytes: 1,
    storedBytes: 1,
    headDigest: '',
    isPinned: false,
  }
}

const labelsOf = ({ backups }: TransferPlan): readonly string[] => backups.map(({ label }) => label)
