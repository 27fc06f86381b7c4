import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { toLsn } from '../domain/lsn.ts'
import { WalFacts } from '../wal/wal-facts.ts'
import type { PastTransaction } from './past-transaction.ts'
import { TransactionFold } from './transaction-fold.ts'

const relation = { tablespace: 1663, database: 5, relation: 16_400 }

describe('TransactionFold', () => {
  test('puts together what a transaction did in several stretches, and counts who committed meanwhile', () => {
    const told = fold(
      [committing({ xid: 100, at: 10 })],
      [
        (facts) => wrote(facts, { xid: 101, at: 100, deleted: 60 }),
        committing({ xid: 102, at: 110 }),
        committing({ xid: 103, at: 120 }),
      ],
      [(facts) => wrote(facts, { xid: 101, at: 210, deleted: 50 }), committing({ xid: 104, at: 220 })],
      [committing({ xid: 101, at: 310 })],
    )

    assert.deepEqual(told.map(brief), [
      { xid: 101, firstLsn: 100n, endRecordLsn: 310n, commitsMeanwhile: 3, deleted: 110 },
    ])
  })

  test('gives subtransactions to the transaction that ends with them, and not those that were rolled back', () => {
    const told = fold(
      [committing({ xid: 100, at: 10 })],
      [
        (facts) => wrote(facts, { xid: 111, at: 100, deleted: 70 }),
        (facts) => wrote(facts, { xid: 112, at: 110, deleted: 70 }),
        committing({ xid: 112, at: 120, isAbort: true }),
        (facts) => wrote(facts, { xid: 113, at: 130, deleted: 70 }),
      ],
      [committing({ xid: 110, at: 210, subxids: [111, 113] })],
    )

    assert.deepEqual(told.map(brief), [
      { xid: 110, firstLsn: 100n, endRecordLsn: 210n, commitsMeanwhile: 0, deleted: 140 },
    ])
  })

  test('tells transactions that were rolled back as such', () => {
    const told = fold(
      [committing({ xid: 100, at: 10 })],
      [
        (facts) => wrote(facts, { xid: 101, at: 100, deleted: 200 }),
        committing({ xid: 101, at: 110, isAbort: true }),
      ],
    )

    assert.deepEqual(
      told.map(({ ended: { xid, isAborted } }) => ({ xid, isAborted })),
      [{ xid: 101, isAborted: true }],
    )
  })

  test('does not know where one began that was there before the reading, or before a hole', () => {
    const first = [
      (facts: WalFacts) => wrote(facts, { xid: 101, at: 10, deleted: 200 }),
      committing({ xid: 101, at: 20 }),
    ]
    const told = fold(
      first,
      'hole',
      [committing({ xid: 150, at: 100 })],
      [
        // An earlier xid than any in the stretch behind the hole may have begun in the hole.
        (facts) => wrote(facts, { xid: 140, at: 200, deleted: 200 }),
        committing({ xid: 140, at: 210 }),
        (facts) => wrote(facts, { xid: 151, at: 220, deleted: 200 }),
        committing({ xid: 151, at: 230 }),
      ],
    )

    assert.deepEqual(
      told.map(({ ended: { xid, firstLsn, commitsMeanwhile } }) => ({ xid, firstLsn, commitsMeanwhile })),
      [
        { xid: 101, firstLsn: undefined, commitsMeanwhile: undefined },
        { xid: 140, firstLsn: undefined, commitsMeanwhile: undefined },
        { xid: 151, firstLsn: 220n, commitsMeanwhile: 0 },
      ],
    )
  })

  test('takes an xid behind the wrap-around for a later one', () => {
    const told = fold(
      [committing({ xid: 0xffff_fff0, at: 10 })],
      [(facts) => wrote(facts, { xid: 5, at: 100, deleted: 200 }), committing({ xid: 5, at: 110 })],
    )

    assert.deepEqual(
      told.map(({ ended }) => ended.firstLsn),
      [100n],
    )
  })

  test('tells files that were made and dropped, whatever the rows, also when they were made in an earlier stretch', () => {
    const told = fold(
      [committing({ xid: 100, at: 10 })],
      [(facts) => wrote(facts, { xid: 101, at: 100, deleted: 0 }), event('created', 101, 105)],
      [event('dropped', 101, 210), committing({ xid: 101, at: 210 })],
    )

    assert.deepEqual(
      told.map(({ events, madeFiles }) => [events.map(({ kind }) => kind), madeFiles]),
      [[['created', 'dropped'], [{ ...relation, hasPages: false, hasRows: true }]]],
    )
  })
})

type Step = (facts: WalFacts) => void

function fold(...stretches: readonly (readonly Step[] | 'hole')[]): readonly PastTransaction[] {
  const told: PastTransaction[] = []
  const folding = new TransactionFold({ minRows: 100, take: (transaction) => told.push(transaction) })
  for (const stretch of stretches) {
    if (stretch === 'hole') {
      folding.breakOff()
      continue
    }
    const facts = new WalFacts()
    for (const step of stretch) step(facts)
    folding.add(facts)
  }
  return told
}

function wrote(facts: WalFacts, { xid, at, deleted }: { xid: number; at: number; deleted: number }): void {
  facts.firstLsns.see(xid, 0, at)
  const row = facts.rows.indexOf(facts.rows.relationIndexOf(relation), xid)
  for (let count = 0; count < deleted; count += 1) facts.rows.addDeleted(row)
}

interface End {
  readonly xid: number
  readonly at: number
  readonly isAbort?: boolean
  readonly subxids?: readonly number[]
}

const committing =
  ({ xid, at, isAbort = false, subxids = [] }: End): Step =>
  (facts) => {
    facts.firstLsns.see(xid, 0, at)
    const place = { lsnHigh: 0, lsnLow: at, endHigh: 0, endLow: at + 8 }
    facts.transactions.add({ isAbort, isPrepared: false, xid, timeHigh: 0, timeLow: at, place })
    for (const subxid of subxids) facts.transactions.addSubxid(subxid)
  }

const event =
  (kind: 'created' | 'dropped', xid: number, at: number): Step =>
  (facts) => {
    facts.relationEvents.add({ ...relation, kind, fork: 0, block: 0, xid, lsn: toLsn(BigInt(at)) })
  }

function brief({ ended, rows }: PastTransaction) {
  const { xid, firstLsn, endRecordLsn, commitsMeanwhile } = ended
  return {
    xid,
    firstLsn,
    endRecordLsn,
    commitsMeanwhile,
    deleted: rows.reduce((sum, row) => sum + row.deleted, 0),
  }
}
