import type { Lsn } from '../domain/lsn.ts'
import type { WalMajor } from './page-header.ts'
import type { WalEnd } from './wal-end.ts'
import type { WalFacts } from './wal-facts.ts'

/** Parts of a record that crosses segments are carried up to this length. */
export const mostCarriedBytes = 256 * 1024
/** All that one segment holds, as far as it can be known from it alone. */
export interface SegmentContents {
  readonly startLsn: Lsn
  readonly segmentSize: number
  /** Undefined when not even the segment's first page could be read: then `end` says why, and nothing else is known. */
  readonly major: WalMajor | undefined
  readonly systemIdentifier: bigint
  /** Of the last page that was read. */
  readonly timeline: number
  readonly head: SegmentHead | undefined
  readonly tail: SegmentTail | undefined
  /** The first record that begins here; it may be the tail. Its link is undefined when it lies in the next segment. */
  readonly firstRecord: { readonly lsn: Lsn; readonly prevLsn: Lsn | undefined } | undefined
  /** The last record that begins here, the tail included. */
  readonly lastRecordLsn: Lsn | undefined
  /** Records that begin and end here. */
  readonly recordCount: number
  /** `segments-exhausted`, `record-unfinished` when there is a tail, or what stopped the reading: from there on nothing is known. */
  readonly end: WalEnd
  /** Of the records that begin and end here. */
  readonly facts: WalFacts
}

/** The bytes at a segment's beginning that belong to a record which began in an earlier segment. */
export interface SegmentHead {
  /** How many bytes of that record are to come, counted from this segment's beginning (xlp_rem_len). */
  readonly missing: number
  /** Those of them that are in this segment. Undefined when there are more than `mostCarriedBytes`. */
  readonly bytes: Uint8Array | undefined
  /** Where they end: the end of the record, or of the segment when the record goes on. */
  readonly endLsn: Lsn
  /**
   * `whole`: the pages agree on it. `abandoned`: a crashed server gave the record up, and `endLsn` is where the WAL goes on
   * (XLP_FIRST_IS_OVERWRITE_CONTRECORD). `broken`: the pages contradict each other, so who has the beginning of the record
   * must take this for the end of the WAL.
   */
  readonly state: 'whole' | 'abandoned' | 'broken'
}

/** A record that begins in a segment and goes on in the next. */
export interface SegmentTail {
  readonly lsn: Lsn
  /**
   * The record before it, which is the one that the next record names when this one is given up. Undefined when that is in
   * an earlier segment.
   */
  readonly previousLsn: Lsn | undefined
  readonly totalLength: number
  /** How many of its bytes are here. */
  readonly length: number
  /** These bytes. Undefined when there are more than `mostCarriedBytes`. */
  readonly bytes: Uint8Array | undefined
}
