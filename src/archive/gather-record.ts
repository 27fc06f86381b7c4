import { formatLsn, toLsn, type Lsn } from '../domain/lsn.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { readPageHeader, walPageSize } from '../wal/page-header.ts'

/** A record that lies in several segments, and how long it is. */
export interface LongRecord {
  readonly lsn: Lsn
  readonly totalLength: number
}

/** The pages of a segment, and where it begins. */
export interface SegmentPages {
  readonly startLsn: Lsn
  readonly pages: AsyncIterable<Uint8Array>
}

/** Records of more than this are not put together: PostgreSQL itself writes none that is nearly as long. */
const mostGatheredBytes = 128 * 1024 * 1024

/**
 * The bytes of one record out of the segments that hold it, in their order. Throws `damaged` when they do not; that the
 * bytes are right only the record's CRC tells. Holds the record in memory, and one piece of a segment.
 */
export async function gatherRecord(
  record: LongRecord,
  segments: Iterable<SegmentPages>,
  context: RunContext,
): Promise<Uint8Array> {
  if (record.totalLength > mostGatheredBytes) {
    throw damaged(record, `it has ${record.totalLength} bytes, expected at most ${mostGatheredBytes}`)
  }
  const bytes = Buffer.allocUnsafeSlow(record.totalLength)
  let length = 0
  for await (const content of contentsOf(record, segments)) {
    context.signal.throwIfAborted()
    bytes.set(content.subarray(0, bytes.length - length), length)
    length = Math.min(bytes.length, length + content.length)
    if (length === bytes.length) return bytes
  }
  throw damaged(record, `expected ${bytes.length} bytes, found ${length}`)
}

/** What the pages hold from the record's beginning on, without their headers. */
async function* contentsOf(
  record: LongRecord,
  segments: Iterable<SegmentPages>,
): AsyncGenerator<Uint8Array, void> {
  for (const { startLsn, pages } of segments) {
    let position: bigint = startLsn
    for await (const bytes of pages) {
      yield* pageContentsOf(bytes, position, record)
      position += BigInt(bytes.length)
    }
  }
}

function* pageContentsOf(
  pages: Uint8Array,
  startLsn: bigint,
  record: LongRecord,
): Generator<Uint8Array, void, undefined> {
  const view = new DataView(pages.buffer, pages.byteOffset, pages.byteLength)
  for (let offset = 0; offset + walPageSize <= pages.length; offset += walPageSize) {
    const pageLsn = startLsn + BigInt(offset)
    if (pageLsn + BigInt(walPageSize) > record.lsn) {
      const { address, length } = readPageHeader(view, offset)
      if (address !== pageLsn) throw damaged(record, `another page is at ${formatLsn(toLsn(pageLsn))}`)
      const from = Math.max(length, Number(record.lsn - pageLsn))
      yield pages.subarray(offset + from, offset + walPageSize)
    }
  }
}

function damaged({ lsn }: LongRecord, found: string): OperationError {
  return new OperationError('damaged', `reading the record at ${formatLsn(lsn)} again: ${found}`)
}
