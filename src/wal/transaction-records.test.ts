import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { mainData, WalBuilder } from '../../test/support/wal-builder.ts'
import { isOperationError } from '../domain/operation-error.ts'
import type { WalMajor } from './page-header.ts'
import { readWalRecords, type WalRecord } from './record-reader.ts'
import { readTransactionEnd } from './transaction-records.ts'

const majors = [14, 15, 16, 17, 18] as const

describe('readTransactionEnd', () => {
  for (const major of majors) {
    test(`finds the xid of a prepared transaction behind all other parts, as ${major} writes them`, () => {
      const statistics = major === 14 ? [] : [list(2, major < 18 ? 12 : 16)]
      const flags = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | (major === 14 ? 0 : 0x100)
      const parts = [bytes(8), list(3, 4), list(1, 12), ...statistics, list(5, 16), uint32(741)]

      const end = readTransactionEnd(record(major, 0x80 | 0x30, [time(-5n), uint32(flags), ...parts]))

      assert.deepEqual([end?.kind, end?.isPrepared, end?.xid, end?.time], ['commit', true, 741, -5n])
    })

    test(`takes the record's own xid for everything else on ${major}`, () => {
      const commit = readTransactionEnd(record(major, 0x00, [time(1n)]))
      const abort = readTransactionEnd(record(major, 0x80 | 0x20, [time(2n), uint32(0x2), list(1, 4)]))

      assert.deepEqual([commit?.kind, commit?.xid, commit?.time], ['commit', 99, 1n])
      assert.deepEqual([abort?.kind, abort?.xid, abort?.time], ['abort', 99, 2n])
    })
  }

  test('passes over what does not end a transaction', () => {
    for (const info of [0x10, 0x50, 0x60])
      assert.equal(readTransactionEnd(record(17, info, [time(0n)])), undefined)
    assert.equal(readTransactionEnd({ ...record(17, 0, [time(0n)]), rmid: 10 }), undefined)
  })

  test('says that it misreads a record, and never crashes, on any content', () => {
    const info = fc.constantFrom(0x00, 0x20, 0x30, 0x40, 0x80, 0xa0, 0xb0, 0xc0)
    fc.assert(
      fc.property(
        fc.constantFrom(...majors),
        info,
        fc.uint8Array({ maxLength: 80 }),
        (major, bits, content) => {
          try {
            const end = readTransactionEnd(record(major, bits, [content]))
            assert.ok(end === undefined || (end.xid >= 0 && end.xid < 2 ** 32))
          } catch (error) {
            assert.ok(isOperationError(error, 'damaged'), String(error))
          }
        },
      ),
    )
  })

  test('does not believe counts that reach beyond the record', () => {
    const misread = record(16, 0x80 | 0x30, [time(0n), uint32(0x2 | 0x10), uint32(0xffffffff), uint32(1)])

    assert.throws(() => readTransactionEnd(misread), /16 bytes are too few|20 bytes are too few/)
  })
})

function record(major: WalMajor, info: number, parts: readonly Uint8Array[]): WalRecord {
  const builder = new WalBuilder({ major })
  builder.append({ rmid: 1, info, xid: 99, body: mainData(Buffer.concat(parts)) })
  const [only] = readWalRecords(builder.segments)
  assert.ok(only)
  return only
}

function list(count: number, entryBytes: number): Uint8Array {
  return Buffer.concat([uint32(count), bytes(count * entryBytes)])
}

function bytes(length: number): Uint8Array {
  return Buffer.alloc(length, 0xee)
}

function uint32(value: number): Uint8Array {
  const buffer = Buffer.alloc(4)
  buffer.writeUInt32LE(value)
  return buffer
}

function time(value: bigint): Uint8Array {
  const buffer = Buffer.alloc(8)
  buffer.writeBigInt64LE(value)
  return buffer
}
