import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { mainData, WalBuilder, type BuiltRecord } from '../../test/support/wal-builder.ts'
import type { WalMajor } from './page-header.ts'
import { scanSegment } from './scan-segment.ts'
import type { WalFacts } from './wal-facts.ts'

const file = [1663, 5, 16_384] as const
const relation = { tablespace: 1663, database: 5, relation: 16_384 }
const majors = [14, 15, 16, 17, 18] as const

// What real servers write is compared in scan-segment.slow.test.ts.
describe('the facts of records', () => {
  test('limit a fork that is made to nothing', () => {
    const { changes, relationEvents } = factsOf([{ rmid: 2, info: 0x10, xid: 9, body: numbers(...file, 3) }])

    assert.equal(changes.find({ ...relation, fork: 3 })?.limit, 0)
    assert.equal(changes.find({ ...relation, fork: 0 }), undefined)
    const [event] = relationEvents
    assert.deepEqual([event?.kind, event?.fork, event?.xid], ['created', 3, 9])
  })

  test('limit the forks that are cut, and only those', () => {
    const limits = [1, 2, 4, 7].map((flags) => {
      const { changes } = factsOf([{ rmid: 2, info: 0x20, body: numbers(77, ...file, flags) }])
      return [0, 1, 2, 3].map((fork) => changes.find({ ...relation, fork })?.limit)
    })

    assert.deepEqual(limits, [
      [77, undefined, undefined, undefined],
      [undefined, undefined, 0, undefined],
      [undefined, 0, undefined, undefined],
      [77, 0, 0, undefined],
    ])
  })

  test('limit all forks of relations that go with a commit or an abort', () => {
    for (const [info, kind] of [
      [0x80, 'dropped'],
      [0xa0, 'discarded'],
    ] as const) {
      const extra = numbers(0, 0, 1 << 2, 1, ...file)
      const { changes, relationEvents, transactions } = factsOf([{ rmid: 1, info, xid: 7, body: extra }])

      assert.deepEqual(
        [0, 1, 2, 3].map((fork) => changes.find({ ...relation, fork })?.limit),
        [0, 0, 0, 0],
      )
      const [event] = relationEvents
      assert.deepEqual([event?.kind, event?.relation, event?.xid], [kind, 16_384, 7])
      assert.equal(transactions.count, 1)
    }
  })

  test('name databases as the operations of each major have it', () => {
    const copied = { rmid: 4, info: 0x00, body: numbers(11, 1663, 1, 1663) }
    const second = { rmid: 4, info: 0x10, body: numbers(12, 1, 1700) }
    const dropped = { rmid: 4, info: 0x20, body: numbers(13, 2, 1663, 1700) }
    for (const major of majors) {
      const facts = factsOf([copied, second, dropped], major)

      const databases = [...facts.changes.databases()].map((place) => place.join(' ')).toSorted()
      const kinds = [...facts.relationEvents].map(({ kind }) => kind)
      if (major === 14) {
        assert.deepEqual(databases, ['1663 11', '1700 12'])
        assert.deepEqual(kinds, ['database-copied', 'database-dropped'])
        assert.equal(facts.unknown?.info, 0x20)
      } else {
        assert.deepEqual(databases, ['1 12', '1663 11', '1663 13', '1700 13'])
        const drops = ['database-dropped', 'database-dropped']
        assert.deepEqual(kinds, ['database-copied', 'database-logged', ...drops])
        assert.equal(facts.unknown, undefined)
      }
    }
  })

  test('count a row that was inserted speculatively once it is confirmed', () => {
    const speculative = Buffer.from([1, 0, 1 << 2])
    const { rows } = factsOf([
      { rmid: 10, info: 0x00, xid: 7, body: withBlock(speculative) },
      { rmid: 10, info: 0x50, xid: 7, body: withBlock(Buffer.from([1, 0])) },
      { rmid: 10, info: 0x80, xid: 7, body: withBlock(speculative) },
      { rmid: 10, info: 0x10, xid: 7, body: withBlock(Buffer.from([7, 0, 0, 0, 1, 0, 0, 1 << 3])) },
      { rmid: 10, info: 0x10, xid: 7, body: withBlock(Buffer.from([7, 0, 0, 0, 1, 0, 0, 0])) },
      { rmid: 10, info: 0xc0, xid: 7, body: withBlock(Buffer.alloc(14)) },
      { rmid: 9, info: 0xd0, xid: 7, body: withBlock(Buffer.from([0, 0, 40, 0])) },
    ])

    assert.deepEqual([...rows], [{ ...relation, xid: 7, inserted: 41, updated: 1, deleted: 1 }])
  })

  test('note the records of an extension as unknown, but keep their blocks', () => {
    const facts = factsOf([{ rmid: 130, info: 0x30, body: withBlock(Buffer.alloc(3)) }], 15)

    assert.deepEqual([facts.unknown?.rmid, facts.unknown?.info], [130, 0x30])
    assert.match(facts.unknown?.why ?? '', /extension/)
    assert.equal(facts.changes.find({ ...relation, fork: 0 })?.has(9), true)
  })

  test('note the first operation that no server of the major has', () => {
    const unknown: readonly (readonly [number, number, readonly WalMajor[]])[] = [
      [0, 0xc0, majors],
      [0, 0xe0, [14, 15, 16]],
      [0, 0xf0, majors],
      [1, 0x70, majors],
      [2, 0x00, majors],
      [2, 0x30, majors],
      [4, 0x20, [14]],
      [4, 0x30, majors],
      [7, 0x10, majors],
      [11, 0xf0, majors],
      [12, 0xd0, majors],
      [13, 0x00, majors],
      [14, 0x40, majors],
      [15, 0x10, majors],
      [16, 0x90, majors],
      [17, 0x60, majors],
      [20, 0x10, majors],
    ]
    for (const [rmid, info, affected] of unknown) {
      for (const major of majors) {
        const body = mainData(Buffer.alloc(100))
        const facts = factsOf([{ rmid, info, body }], major)
        assert.equal(facts.unknown !== undefined, affected.includes(major), `${major} ${rmid} ${info}`)
      }
    }
  })

  test('note records that are too short for what they must hold', () => {
    const short: readonly BuiltRecord[] = [
      { rmid: 0, info: 0x10, body: mainData(Buffer.alloc(20)) },
      { rmid: 1, info: 0x00, body: mainData(Buffer.alloc(7)) },
      { rmid: 1, info: 0x80, body: numbers(0, 0, 1 << 2, 2, ...file) },
      { rmid: 1, info: 0x30, body: numbers(0, 0) },
      { rmid: 1, info: 0x50, body: numbers(7, 3, 8, 9) },
      { rmid: 2, info: 0x10, body: numbers(...file) },
      { rmid: 2, info: 0x20, body: numbers(1, ...file) },
      { rmid: 4, info: 0x20, body: numbers(5, 2, 1663) },
      { rmid: 9, info: 0x50, xid: 1, body: withBlock(Buffer.alloc(2)) },
      { rmid: 10, info: 0x00, xid: 1, body: mainData(Buffer.alloc(3)) },
      { rmid: 10, info: 0x30, xid: 1, body: numbers(5, 2, 0, 7) },
    ]
    for (const record of short) {
      const { unknown } = factsOf([record])
      assert.deepEqual([unknown?.rmid, unknown?.info], [record.rmid, record.info])
    }
  })

  test('know the parents of subtransactions', () => {
    const assigned = { rmid: 1, info: 0x50, body: numbers(700, 2, 701, 702) }
    const direct = { rmid: 10, info: 0x60, xid: 703, body: Buffer.from([252, 188, 2, 0, 0]) }
    const { firstLsns } = factsOf([assigned, direct])

    assert.deepEqual(
      [...firstLsns].map(({ xid, parent }) => [xid, parent]),
      [
        [701, 700],
        [702, 700],
        [703, 700],
      ],
    )
  })
})

function factsOf(records: readonly BuiltRecord[], major: WalMajor = 17): WalFacts {
  const builder = new WalBuilder({ major })
  for (const record of records) builder.append(record)
  const [segment] = builder.segments
  assert.ok(segment)
  const { facts, recordCount } = scanSegment(segment.bytes, segment)
  assert.equal(recordCount, records.length)
  return facts
}

/** Main data of 32-bit numbers. */
function numbers(...values: readonly number[]): Uint8Array {
  return mainData(Buffer.from(Uint32Array.from(values).buffer))
}

/** Block 9 of the main fork, then main data. */
function withBlock(data: Buffer): Uint8Array {
  const location = Buffer.from(Uint32Array.from([...file, 9]).buffer)
  return Buffer.concat([Buffer.from([0, 0, 0, 0]), location, mainData(data)])
}
