import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { sampleListed } from '../../test/support/sample-listed.ts'
import type { ListedBackup } from '../repository/backup-entry.ts'
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

  test('tells of labels that stand for different backups', () => {
    const other = { ...first, restoredBytes: first.restoredBytes + 1 }

    const { backups, twins } = plan({ source: [first, second], target: [other, second] })

    assert.deepEqual([backups, twins], [[], [first.label]])
  })
})

function plan(facts: Partial<TransferFacts>): TransferPlan {
  return planTransfer({
    source: [],
    target: [],
    everListed: new Set(),
    toldSince: undefined,
    wanted: [],
    ...facts,
  })
}

const labelsOf = ({ backups }: TransferPlan): readonly string[] => backups.map(({ label }) => label)
