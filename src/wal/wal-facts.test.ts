import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { toLsn } from '../domain/lsn.ts'
import { PairTable } from './pair-table.ts'
import type { SegmentContents } from './segment-contents.ts'
import { WalFacts } from './wal-facts.ts'

describe('WalFacts', () => {
  test('begin empty, as of a segment that cannot be read', () => {
    const facts: SegmentContents['facts'] = new WalFacts()

    assert.deepEqual([facts.transactions.count, facts.rows.count, facts.relationEvents.count], [0, 0, 0])
    assert.equal(facts.unknown, undefined)
  })

  test('gives back the ends of transactions, with their subtransactions', () => {
    const { transactions } = new WalFacts()
    const ends = Array.from({ length: 50 }, (_, index) => ({
      kind: index % 3 === 0 ? ('abort' as const) : ('commit' as const),
      isPrepared: index % 2 === 0,
      xid: 0xffff_fff0 + (index % 16),
      time: -7n + BigInt(index),
      lsn: toLsn(0xffff_ffff_0000_0000n + BigInt(index)),
      endLsn: toLsn(0xffff_ffff_0000_0008n + BigInt(index)),
    }))
    for (const [index, { kind, time, isPrepared, xid }] of ends.entries()) {
      const place = { lsnHigh: 0xffff_ffff, lsnLow: index, endHigh: 0xffff_ffff, endLow: 8 + index }
      const isAbort = kind === 'abort'
      const timeHigh = Number(BigInt.asUintN(64, time) >> 32n)
      transactions.add({
        isAbort,
        isPrepared,
        xid,
        place,
        timeHigh,
        timeLow: Number(BigInt.asUintN(32, time)),
      })
      for (let sub = 0; sub < index % 4; sub += 1) transactions.addSubxid(index * 10 + sub)
    }

    for (const [index, { subxids, ...end }] of [...transactions].entries()) {
      assert.deepEqual(end, ends[index])
      assert.deepEqual([...subxids], [0, 1, 2].map((xid) => index * 10 + xid).slice(0, index % 4))
    }
    assert.equal(transactions.count, ends.length)
  })

  test('keeps the first LSN of each transaction, and its parent whenever it comes', () => {
    const { firstLsns } = new WalFacts()
    firstLsns.see(7, 1, 16)
    firstLsns.see(8, 1, 24)
    firstLsns.see(7, 1, 32)
    firstLsns.setParent(8, 7)
    firstLsns.setParent(9, 7)
    firstLsns.see(9, 2, 0)
    firstLsns.setParent(10, 7)

    assert.deepEqual(
      [...firstLsns],
      [
        { xid: 7, lsn: 0x1_0000_0010n, parent: 0 },
        { xid: 8, lsn: 0x1_0000_0018n, parent: 7 },
        { xid: 9, lsn: 0x2_0000_0000n, parent: 7 },
        { xid: 10, lsn: undefined, parent: 7 },
      ],
    )
    assert.deepEqual([firstLsns.find(8)?.parent, firstLsns.find(11)], [7, undefined])
  })

  test('adds up rows by relation and transaction', () => {
    const { rows } = new WalFacts()
    const place = { tablespace: 1663, database: 5 }
    const one = rows.relationIndexOf({ ...place, relation: 100 })
    const other = rows.relationIndexOf({ ...place, relation: 200 })
    const namesake = rows.relationIndexOf({ ...place, database: 6, relation: 100 })
    assert.equal(rows.relationIndexOf({ ...place, relation: 100 }), one)
    assert.equal(new Set([one, other, namesake]).size, 3)
    rows.addInserted(rows.indexOf(one, 7), 3)
    rows.addInserted(rows.indexOf(one, 7), 4)
    rows.addUpdated(rows.indexOf(other, 7))
    rows.addDeleted(rows.indexOf(one, 8))

    assert.deepEqual(
      [...rows],
      [
        { ...place, relation: 100, xid: 7, inserted: 7, updated: 0, deleted: 0 },
        { ...place, relation: 200, xid: 7, inserted: 0, updated: 1, deleted: 0 },
        { ...place, relation: 100, xid: 8, inserted: 0, updated: 0, deleted: 1 },
      ],
    )
  })

  test('gives back what befell files', () => {
    const { relationEvents } = new WalFacts()
    const event = {
      tablespace: 1663,
      database: 5,
      relation: 9,
      fork: 1,
      block: 77,
      xid: 3,
      lsn: toLsn(1n << 40n),
    }
    const events = [
      { ...event, kind: 'created' as const },
      { ...event, kind: 'database-dropped' as const },
    ]
    for (const one of events) relationEvents.add(one)

    assert.deepEqual([...relationEvents], events)
  })
})

describe('PairTable', () => {
  test('numbers pairs in the order of their coming', () => {
    const number = fc.oneof(fc.nat(20), fc.integer({ min: 0, max: 0xffff_ffff }))
    fc.assert(
      fc.property(fc.array(fc.tuple(number, number), { maxLength: 300 }), (pairs) => {
        const table = new PairTable()
        const expected = new Map<string, number>()
        for (const [a, b] of pairs) {
          const key = `${a} ${b}`
          if (!expected.has(key)) expected.set(key, expected.size)
          assert.equal(table.indexOf(a, b), expected.get(key))
        }
        for (const [a, b] of pairs) assert.equal(table.find(a, b), expected.get(`${a} ${b}`))
        assert.equal(table.count, expected.size)
        assert.equal(table.find(21, 21), expected.get('21 21') ?? -1)
      }),
    )
  })
})
