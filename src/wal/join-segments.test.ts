import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { mainData, WalBuilder } from '../../test/support/wal-builder.ts'
import { assertSameFacts, readContents } from '../../test/support/wal-contents.ts'
import { sampleWal } from '../../test/support/wal-samples.ts'
import { toLsn } from '../domain/lsn.ts'
import { addRecord } from './add-record.ts'
import { joinSegments } from './join-segments.ts'
import { walPageSize } from './page-header.ts'
import type { WalSegmentBytes } from './record-reader.ts'
import { scanSegment } from './scan-segment.ts'
import type { SegmentContents } from './segment-contents.ts'
import { WalFacts } from './wal-facts.ts'

describe('joinSegments', () => {
  test('gives the record that crosses, with the facts that it has when both segments are read', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0x7fff_ffff }), (seed) => {
        const segments = sampleWal(seed, 17)
        for (const [index, segment] of segments.slice(1).entries()) {
          const both = segments.slice(index, index + 2)
          const [before, after] = both.map(scan)
          assert.ok(before && after && segment.startLsn === after.startLsn)
          const joint = joinSegments(before, after)
          assert.ok(joint.kind === 'joined', JSON.stringify(joint.kind))
          assert.equal(joint.record?.lsn, before.tail?.lsn)
          if (joint.record === undefined) continue
          const facts = new WalFacts()
          assert.equal(addRecord(facts, joint.record), undefined)
          assertSameFacts(facts, readContents(both, joint.record.lsn))
        }
      }),
      { numRuns: 30 },
    )
  })

  test('says when the record is too long to be carried, over two segments or more', () => {
    for (const length of [600_000, 2_900_000]) {
      const builder = new WalBuilder()
      builder.append({ rmid: 21, body: mainData(Buffer.alloc(700_000)) })
      builder.append({ rmid: 21, body: mainData(Buffer.alloc(length)) })
      const contents = builder.segments.map(scan)

      for (const [index, after] of contents.slice(1).entries()) {
        const before = contents[index]
        assert.ok(before)
        assert.deepEqual(joinSegments(before, after), { kind: 'too-long' })
      }
    }
  })

  test('goes on where a crashed server gave up the record', () => {
    const { before, second } = crossing()
    // The second segment begins anew, with XLP_FIRST_IS_OVERWRITE_CONTRECORD.
    second.writeUInt16LE(0x2 | 0x8, 2)
    second.writeUInt32LE(0, 16)

    const after = scanSegment(second, { startLsn: toLsn(0x200000n) })
    assert.equal(after.head?.state, 'abandoned')
    assert.deepEqual(joinSegments(before, after), { kind: 'joined', record: undefined })
  })

  test('refuses what does not go on', () => {
    const { before, second } = crossing()
    const changes: readonly (readonly [RegExp, (bytes: Buffer) => unknown])[] = [
      [/goes on with 4 bytes/, (bytes) => bytes.writeUInt32LE(4, 16)],
      [/are missing in the second/, (bytes) => bytes.writeUInt16LE(0x2, 2)],
      [/one cluster/, (bytes) => bytes.writeBigUInt64LE(9n, 24)],
      [/contradict/, (bytes) => bytes.writeUInt32LE(4, walPageSize + 16)],
    ]
    for (const [detail, change] of changes) {
      const bytes = Buffer.from(second)
      change(bytes)
      const joint = joinSegments(before, scanSegment(bytes, { startLsn: toLsn(0x200000n) }))
      assert.ok(joint.kind === 'broken')
      assert.match(joint.detail, detail)
    }
    const itself = joinSegments(before, before)
    assert.ok(itself.kind === 'broken')
    assert.match(itself.detail, /follow each other/)
  })
})

/** A record that crosses from the first segment into the second, where it takes more than a page. */
function crossing(): { readonly before: SegmentContents; readonly second: Buffer } {
  const builder = new WalBuilder()
  builder.append({ rmid: 21, body: mainData(Buffer.alloc(1_000_000)) })
  builder.append({ rmid: 21, body: mainData(Buffer.alloc(60_000)) })
  const [first, second] = builder.segments
  assert.ok(first && second)
  return { before: scan(first), second: Buffer.from(second.bytes) }
}

function scan({ bytes, startLsn }: WalSegmentBytes): SegmentContents {
  return scanSegment(bytes, { startLsn })
}
