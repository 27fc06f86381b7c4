import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { mainData, WalBuilder } from '../../test/support/wal-builder.ts'
import { isOperationError } from '../domain/operation-error.ts'
import { readControlRecord, type ControlRecord } from './control-records.ts'
import { readWalRecords } from './record-reader.ts'

// What real servers write is compared in record-reader.slow.test.ts.
describe('readControlRecord', () => {
  test('reads a name that fills its field', () => {
    const content = Buffer.alloc(72, 'n')
    content.writeBigInt64LE(5n, 0)

    assert.deepEqual(read(0x70, content), { kind: 'restore-point', name: 'n'.repeat(64), time: 5n })
  })

  test('reads the timelines of an end of recovery, with wal_level behind them or without', () => {
    for (const length of [16, 20, 24]) {
      const content = Buffer.alloc(length)
      content.writeBigInt64LE(5n, 0)
      content.writeUInt32LE(3, 8)
      content.writeUInt32LE(2, 12)

      assert.deepEqual(read(0x90, content), {
        kind: 'end-of-recovery',
        time: 5n,
        timeline: 3,
        previousTimeline: 2,
      })
    }
  })

  test('passes over what it does not need', () => {
    for (const info of [0x20, 0x30, 0x50, 0xa0, 0xb0, 0xd0, 0xe0]) {
      assert.equal(read(info, Buffer.alloc(100)), undefined)
    }
  })

  test('says that it misreads a record, and never crashes, on any content', () => {
    const info = fc.constantFrom(0x00, 0x10, 0x60, 0x70, 0x80, 0x90)
    fc.assert(
      fc.property(info, fc.uint8Array({ maxLength: 100 }), (bits, content) => {
        try {
          read(bits, content)
        } catch (error) {
          assert.ok(isOperationError(error, 'damaged'), String(error))
        }
      }),
    )
  })
})

function read(info: number, content: Uint8Array): ControlRecord | undefined {
  const builder = new WalBuilder()
  builder.append({ rmid: 0, info, body: mainData(content) })
  const [only] = readWalRecords(builder.segments)
  assert.ok(only)
  return readControlRecord(only)
}
