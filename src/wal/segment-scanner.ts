import assert from 'node:assert/strict'
import { formatLsn, toLsn, type Lsn } from '../domain/lsn.ts'
import { HeadReader } from './head-reader.ts'
import {
  majorOfMagic,
  pageFlags,
  readPageHeader,
  readSegmentHeader,
  walPageSize,
  type PageHeader,
  type WalMajor,
} from './page-header.ts'
import { pageProblem, segmentProblem } from './page-problem.ts'
import { RecordScanner, type RecordsFound } from './record-scanner.ts'
import type { SegmentContents } from './segment-contents.ts'
import type { WalEnd, WalEndReason } from './wal-end.ts'
import { WalFacts } from './wal-facts.ts'

export interface ScanScope {
  readonly startLsn: Lsn
  /** Facts only of records that begin at or after it; those before are only checked. */
  readonly fromLsn?: Lsn | undefined
  /** Stops before a record that begins at or after it, with the end `segments-exhausted`. */
  readonly untilLsn?: Lsn | undefined
}

export interface SegmentToScan extends ScanScope {
  /** Of the whole segment. */
  readonly sizeBytes: number
}

/** What the first page tells, and the reader of the records. */
interface Opened {
  readonly major: WalMajor
  readonly systemIdentifier: bigint
  readonly records: RecordScanner
}

const nothingFound: RecordsFound = {
  tail: undefined,
  firstRecord: undefined,
  lastRecordLsn: undefined,
  recordCount: 0,
}

/**
 * Takes a segment in pieces of whole pages and finds all that it holds. Stops at whatever stops WalRecordReader, for the
 * same reason at the same place. Memory is bounded by the longest record that is really there.
 */
export class SegmentScanner {
  readonly #segment: SegmentToScan
  readonly #facts = new WalFacts()
  readonly #head: HeadReader
  #opened: Opened | undefined
  /** Of the next page, in the segment. */
  #pageOffset = 0
  #timeline = 0
  #end: WalEnd | undefined

  constructor(segment: SegmentToScan) {
    this.#segment = segment
    this.#head = new HeadReader(segment.startLsn)
  }

  /** Whether what is still to come does not count: the reading has stopped, or the rest of the segment is not used. */
  get hasEnded(): boolean {
    return this.#end !== undefined || this.#opened?.records.hasSwitched === true
  }

  /** The next pages, whole ones; nothing of them is needed afterwards. */
  push(pages: Uint8Array): void {
    assert(
      this.#pageOffset + pages.length <= this.#segment.sizeBytes,
      'more was pushed than the segment holds',
    )
    const { buffer, byteOffset, length } = pages
    // Parts of a Buffer take several times as long to make.
    const bytes = new Uint8Array(buffer, byteOffset, length)
    const view = new DataView(buffer, byteOffset, length)
    for (let at = 0; at < length && !this.hasEnded; at += walPageSize) {
      if (length - at < walPageSize) this.#stopTruncated(this.#pageOffset + length - at)
      else this.#readPage(bytes, view, at)
    }
  }

  /** All that the segment holds. Nothing may be pushed afterwards. */
  finish(): SegmentContents {
    const { startLsn, sizeBytes } = this.#segment
    const isAllThere = this.#pageOffset > 0 && this.#pageOffset >= sizeBytes
    if (!this.hasEnded && !isAllThere) this.#stopTruncated(this.#pageOffset)
    const isWhole = this.#end === undefined
    const found = this.#opened?.records.finish(isWhole) ?? nothingFound
    return {
      startLsn,
      segmentSize: sizeBytes,
      major: this.#opened?.major,
      systemIdentifier: this.#opened?.systemIdentifier ?? 0n,
      timeline: this.#timeline,
      head: this.#head.finish(isWhole),
      ...found,
      end: this.#end ?? this.#orderlyEnd(found.tail),
      facts: this.#facts,
    }
  }

  #orderlyEnd(tail: SegmentContents['tail']): WalEnd {
    if (tail === undefined) {
      return {
        reason: 'segments-exhausted',
        lsn: this.#lsnAt(this.#segment.sizeBytes),
        detail: 'the last record ends with the last segment',
      }
    }
    const { lsn, totalLength, length } = tail
    return {
      reason: 'record-unfinished',
      lsn,
      detail: `the last ${totalLength - length} of the record's ${totalLength} bytes are in the next segment`,
    }
  }

  #readPage(pages: Uint8Array, view: DataView, at: number): void {
    const header = readPageHeader(view, at)
    const problem = this.#pageProblem(header, view)
    if (problem !== undefined) {
      this.#stopAtPage(problem.reason, problem.detail)
      return
    }
    this.#timeline = header.timeline
    this.#opened ??= this.#open(view, at)
    this.#enterPage(this.#opened.records, header, pages.subarray(at + header.length, at + walPageSize))
    this.#end ??= this.#opened.records.end
    this.#pageOffset += walPageSize
  }

  #pageProblem(header: PageHeader, view: DataView): ReturnType<typeof pageProblem> {
    const { startLsn, sizeBytes } = this.#segment
    const isFirstOfSegment = this.#pageOffset === 0
    const problem = pageProblem(header, {
      lsn: this.#lsnAt(this.#pageOffset),
      isFirstOfSegment,
      major: this.#opened?.major,
      timeline: this.#timeline,
    })
    return problem ?? (isFirstOfSegment ? segmentProblem(view, startLsn, sizeBytes) : undefined)
  }

  #open(view: DataView, at: number): Opened {
    assert(this.#pageOffset === 0 && at === 0)
    const { magic, segmentSize, systemIdentifier } = readSegmentHeader(view)
    const major = majorOfMagic(magic)
    assert(major !== undefined, 'the page was checked')
    const { startLsn, fromLsn, untilLsn } = this.#segment
    const records = new RecordScanner({ startLsn, segmentSize, major, fromLsn, untilLsn }, this.#facts)
    return { major, systemIdentifier, records }
  }

  /** Decides what the page's first bytes are: the rest of a record that we hold, of one that we do not, or a new record. */
  #enterPage(records: RecordScanner, header: PageHeader, content: Uint8Array): void {
    const isContinued = (header.flags & pageFlags.continuation) !== 0
    const contentOffset = this.#pageOffset + header.length
    let skipped = 0
    if (records.missing > 0) {
      const continued = isContinued ? header.continuedBytes : 0
      // The server crashed in the middle of that record and gave it up: CreateOverwriteContrecordRecord in xlog.c.
      if ((header.flags & pageFlags.overwritesContinuation) !== 0) records.abandon()
      else if (continued !== records.missing) {
        const detail = `the page goes on with ${continued} bytes of a record, expected ${records.missing}`
        this.#stopAtPage('record-continuation', detail)
        return
      }
    } else if (this.#head.isSearching) {
      skipped = this.#head.enterPage(header, content)
    } else if (isContinued) {
      this.#stopAtContent(contentOffset)
      return
    }
    records.takePage({ bytes: content.subarray(skipped), offset: contentOffset + skipped })
  }

  #stopAtPage(reason: WalEndReason, detail: string): void {
    const lsn = this.#lsnAt(this.#pageOffset)
    const unfinished = this.#opened?.records.unfinishedLsn
    this.#end = { reason, lsn: unfinished ?? lsn, detail: `${detail} (page at ${formatLsn(lsn)})` }
  }

  #stopAtContent(offset: number): void {
    const lsn = this.#lsnAt(offset)
    const detail = 'the page goes on with a record that the page before did not begin'
    this.#end = { reason: 'record-continuation', lsn, detail: `${detail} (page at ${formatLsn(lsn)})` }
  }

  #stopTruncated(length: number): void {
    this.#stopAtPage('segment-truncated', `only ${length} bytes were given`)
  }

  #lsnAt(offset: number): Lsn {
    return toLsn(this.#segment.startLsn + BigInt(offset))
  }
}
