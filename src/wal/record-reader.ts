import assert from 'node:assert/strict'
import { formatLsn, toLsn, type Lsn } from '../domain/lsn.ts'
import { crc32c } from '../platform/crc32c.ts'
import {
  majorOfMagic,
  pageFlags,
  readPageHeader,
  walPageSize,
  type PageHeader,
  type WalMajor,
} from './page-header.ts'
import { pageProblem, segmentProblem } from './page-problem.ts'
import { readRecordBody, recordHeaderLength } from './record-body.ts'
import type { WalEnd, WalEndReason, WalProblem } from './wal-end.ts'

/** One whole segment: `bytes` begin at `startLsn`. */
export interface WalSegmentBytes {
  readonly startLsn: Lsn
  readonly bytes: Uint8Array
}

/** A record whose CRC and link to its predecessor are right. */
export interface WalRecord {
  readonly lsn: Lsn
  /** Where the next record may begin: PostgreSQL's end pointer. After a segment switch the start of the next segment. */
  readonly endLsn: Lsn
  readonly totalLength: number
  /** 32 bits, 0 for none. */
  readonly xid: number
  /** Resource manager: access/rmgrlist.h. */
  readonly rmid: number
  /** The resource manager's own high four bits and the WAL machinery's low four. */
  readonly info: number
  /** Bytes of full page images in it. */
  readonly imageBytes: number
  /** A view. Valid until the next record is asked for. */
  readonly mainData: Uint8Array
  /** The whole record, header included, for `readBlockReferences`. A view, valid until the next record is asked for. */
  readonly bytes: DataView
  readonly major: WalMajor
}

/** Byte offsets in XLogRecord, access/xlogrecord.h. */
const offsets = { totalLength: 0, xid: 4, prevLsn: 8, info: 16, rmid: 17, crc: 20 } as const
/** No record can be longer: XLogRecordMaxSize and MaxAllocSize. */
const mostRecordBytes = 0x3fff_ffff
/** Records that cross pages are gathered in a buffer that is kept up to this size. */
const keptBufferBytes = 1 << 20
/** RM_NEXT_ID of 14 to 18; extensions have 128 and more (RM_MIN_CUSTOM_ID), since 15. */
const builtInManagers = 22
const firstCustomManager = 128
/** XLOG_SWITCH of RM_XLOG_ID: catalog/pg_control.h. The rest of the segment is not used. */
const switchInfo = 0x40
const infoMask = 0xf0

interface Segment extends WalSegmentBytes {
  readonly view: DataView
}

/** A record that began on an earlier page. */
interface Unfinished {
  readonly lsn: Lsn
  readonly totalLength: number
  gathered: number
}

/** Reads the records of segments that follow each other. The first segment may begin in the middle of a record. */
export function* readWalRecords(
  segments: Iterable<WalSegmentBytes>,
): Generator<WalRecord, WalEnd, undefined> {
  const reader = new WalRecordReader()
  for (const segment of segments) {
    reader.push(segment)
    for (let record = reader.next(); record !== undefined; record = reader.next()) yield record
    if (reader.hasEnded) break
  }
  return reader.end()
}

/**
 * Takes segments one by one and gives the records in them. Stops for good at the first thing that PostgreSQL would take
 * for the end of WAL; a record with a wrong CRC is never given. Works page by page, so a wrong length is found at the next
 * page header, and memory is bounded by the longest record that is really there.
 */
export class WalRecordReader {
  #segment: Segment | undefined
  /** Of the page that is being read, in the segment. */
  #pageOffset = 0
  /** Of the next byte to read, in the segment; always a multiple of 8 when a record may begin there. */
  #position = 0
  #major: WalMajor | undefined
  #timeline = 0
  #nextSegmentLsn: Lsn | undefined
  /** True until the first place where a record can begin was found. */
  #isSearching = true
  #lastRecordLsn: Lsn | undefined
  #unfinished: Unfinished | undefined
  #buffer = new Uint8Array(0)
  #end: WalEnd | undefined

  get hasEnded(): boolean {
    return this.#end !== undefined
  }

  /** Gives the next segment. All records of the one before must have been read. */
  push(segment: WalSegmentBytes): void {
    if (this.#end !== undefined) return
    assert(this.#segment === undefined, 'a segment was pushed before the one before it was read')
    const expected = this.#nextSegmentLsn
    if (expected !== undefined && segment.startLsn !== expected) {
      const detail = `the segment at ${formatLsn(segment.startLsn)} came where ${formatLsn(expected)} was expected`
      this.#stop('segment-gap', this.#unfinished?.lsn ?? expected, detail)
      return
    }
    const { buffer, byteOffset, byteLength } = segment.bytes
    this.#segment = { ...segment, view: new DataView(buffer, byteOffset, byteLength) }
    this.#nextSegmentLsn = toLsn(segment.startLsn + BigInt(byteLength))
    this.#pageOffset = -walPageSize
    this.#position = 0
  }

  /** The next record; undefined when another segment is needed or the WAL has ended. */
  next(): WalRecord | undefined {
    while (this.#end === undefined && this.#segment !== undefined) {
      const isPageRead = this.#position >= this.#pageOffset + walPageSize
      const record = isPageRead ? this.#turnPage(this.#segment) : this.#readRecord(this.#segment)
      if (record !== undefined) return record
    }
    return undefined
  }

  /** Why there are no more records, given that no more segments come. */
  end(): WalEnd {
    if (this.#end !== undefined) return this.#end
    if (this.#unfinished !== undefined) {
      const { lsn, totalLength, gathered } = this.#unfinished
      return {
        reason: 'record-unfinished',
        lsn,
        detail: `the last ${totalLength - gathered} of the record's ${totalLength} bytes are in the next segment`,
      }
    }
    return {
      reason: 'segments-exhausted',
      lsn: this.#nextSegmentLsn ?? toLsn(0n),
      detail: 'the last record ends with the last segment',
    }
  }

  /** Goes on to the next page; gives the record that ends on it, if it began on an earlier one. */
  #turnPage(segment: Segment): WalRecord | undefined {
    this.#pageOffset += walPageSize
    this.#position = this.#pageOffset
    if (this.#pageOffset > 0 && this.#pageOffset >= segment.bytes.length) {
      this.#segment = undefined
      return undefined
    }
    const lsn = this.#lsnAt(segment, this.#pageOffset)
    if (segment.bytes.length - this.#pageOffset < walPageSize) {
      return this.#stopAtPage('segment-truncated', lsn, `only ${segment.bytes.length} bytes were given`)
    }
    const header = readPageHeader(segment.view, this.#pageOffset)
    const problem = this.#pageProblem(segment, header, lsn)
    if (problem !== undefined) return this.#stopAtPage(problem.reason, lsn, problem.detail)
    this.#timeline = header.timeline
    this.#major = majorOfMagic(header.magic)
    this.#position += header.length
    return this.#enterPage(segment, header)
  }

  #pageProblem(segment: Segment, header: PageHeader, lsn: Lsn): WalProblem | undefined {
    const isFirstOfSegment = this.#pageOffset === 0
    const expected = { lsn, isFirstOfSegment, major: this.#major, timeline: this.#timeline }
    const problem = pageProblem(header, expected)
    return problem ?? (isFirstOfSegment ? segmentProblem(segment.view, segment.startLsn) : undefined)
  }

  /** Decides what the page's first bytes are: the rest of a record that we hold, of one that we do not, or a new record. */
  #enterPage(segment: Segment, { flags, continuedBytes }: PageHeader): WalRecord | undefined {
    const isContinued = (flags & pageFlags.continuation) !== 0
    if (this.#unfinished !== undefined) {
      if ((flags & pageFlags.overwritesContinuation) === 0) {
        return this.#continueRecord(segment, this.#unfinished, isContinued ? continuedBytes : 0)
      }
      // The server crashed in the middle of that record and gave it up: CreateOverwriteContrecordRecord in xlog.c.
      this.#unfinished = undefined
      return undefined
    }
    if (this.#isSearching) {
      this.#searchStart(isContinued ? continuedBytes : 0)
      return undefined
    }
    if (!isContinued) return undefined
    return this.#stopAtPage(
      'record-continuation',
      this.#lsnAt(segment, this.#position),
      'the page goes on with a record that the page before did not begin',
    )
  }

  /** XLogFindNextRecord in access/transam/xlogreader.c. */
  #searchStart(continuedBytes: number): void {
    const room = this.#pageOffset + walPageSize - this.#position
    const skipped = align(continuedBytes)
    this.#position += Math.min(room, skipped)
    this.#isSearching = skipped >= room
  }

  #continueRecord(segment: Segment, record: Unfinished, continuedBytes: number): WalRecord | undefined {
    const missing = record.totalLength - record.gathered
    if (continuedBytes !== missing) {
      const detail = `the page goes on with ${continuedBytes} bytes of a record, expected ${missing}`
      return this.#stopAtPage('record-continuation', record.lsn, detail)
    }
    const taken = Math.min(missing, this.#pageOffset + walPageSize - this.#position)
    this.#gather(record, segment.bytes.subarray(this.#position, this.#position + taken))
    this.#position += align(taken)
    if (record.gathered < record.totalLength) return undefined
    this.#unfinished = undefined
    const bytes = this.#buffer.subarray(0, record.totalLength)
    if (this.#buffer.length > keptBufferBytes) this.#buffer = new Uint8Array(0)
    return this.#accept(segment, record.lsn, bytes)
  }

  /** Reads the record at the position, or begins to gather it when it goes on to the next page. */
  #readRecord(segment: Segment): WalRecord | undefined {
    const lsn = this.#lsnAt(segment, this.#position)
    // Positions are multiples of 8, so the length at least is always on this page.
    const totalLength = segment.view.getUint32(this.#position + offsets.totalLength, true)
    if (totalLength < recordHeaderLength || totalLength > mostRecordBytes) {
      if (totalLength === 0) return this.#stop('zeroes', lsn, 'no record was written here')
      return this.#stop('record-length', lsn, `the record's length of ${totalLength} bytes is impossible`)
    }
    const room = this.#pageOffset + walPageSize - this.#position
    const bytes = segment.bytes.subarray(this.#position, this.#position + Math.min(room, totalLength))
    if (bytes.length === totalLength) {
      this.#position += align(totalLength)
      return this.#accept(segment, lsn, bytes)
    }
    if (bytes.length >= recordHeaderLength && this.#headerProblem(viewOf(bytes), lsn)) return undefined
    this.#unfinished = { lsn, totalLength, gathered: 0 }
    this.#gather(this.#unfinished, bytes)
    this.#position += room
    return undefined
  }

  /** Grows the buffer by doubling and only for bytes that are really there, whatever length the record claims. */
  #gather(record: Unfinished, bytes: Uint8Array): void {
    const needed = record.gathered + bytes.length
    if (needed > this.#buffer.length) {
      const grown = new Uint8Array(Math.max(2 * walPageSize, 2 * needed))
      grown.set(this.#buffer.subarray(0, record.gathered))
      this.#buffer = grown
    }
    this.#buffer.set(bytes, record.gathered)
    record.gathered = needed
  }

  /** Checks a whole record. The position stands behind it. */
  #accept(segment: Segment, lsn: Lsn, bytes: Uint8Array): WalRecord | undefined {
    const view = viewOf(bytes)
    if (this.#headerProblem(view, lsn)) return undefined
    if (!isCrcRight(bytes, view)) return this.#stop('record-crc', lsn, 'the record does not match its CRC')
    const major = this.#major
    const body = major === undefined ? undefined : readRecordBody(view, major)
    if (major === undefined || body === undefined) {
      return this.#stop('record-layout', lsn, "the record's parts do not add up to its length")
    }
    const info = view.getUint8(offsets.info)
    const rmid = view.getUint8(offsets.rmid)
    if (rmid === 0 && (info & infoMask) === switchInfo) this.#skipRest(segment)
    this.#lastRecordLsn = lsn
    return {
      lsn,
      endLsn: this.#lsnAt(segment, this.#position),
      totalLength: bytes.length,
      xid: view.getUint32(offsets.xid, true),
      rmid,
      info,
      imageBytes: body.imageBytes,
      mainData: bytes.subarray(body.mainDataOffset),
      bytes: view,
      major,
    }
  }

  /** The checks of ValidXLogRecordHeader in access/transam/xlogreader.c. True when they failed and reading has stopped. */
  #headerProblem(record: DataView, lsn: Lsn): boolean {
    const rmid = record.getUint8(offsets.rmid)
    if (rmid >= builtInManagers && (rmid < firstCustomManager || this.#major === 14)) {
      this.#stop('record-manager', lsn, `the record belongs to the unknown resource manager ${rmid}`)
      return true
    }
    const prevLsn = record.getBigUint64(offsets.prevLsn, true)
    const isLinked = this.#lastRecordLsn === undefined ? prevLsn < lsn : prevLsn === this.#lastRecordLsn
    if (isLinked) return false
    const expected = this.#lastRecordLsn === undefined ? 'an earlier one' : formatLsn(this.#lastRecordLsn)
    this.#stop(
      'record-link',
      lsn,
      `the record names ${formatLsn(toLsn(prevLsn))} before it, expected ${expected}`,
    )
    return true
  }

  /** After a segment switch nothing in the segment counts, not even its page headers. */
  #skipRest({ bytes }: Segment): void {
    this.#pageOffset = bytes.length - walPageSize
    this.#position = bytes.length
  }

  #lsnAt({ startLsn }: Segment, offset: number): Lsn {
    return toLsn(startLsn + BigInt(offset))
  }

  #stopAtPage(reason: WalEndReason, lsn: Lsn, detail: string): undefined {
    return this.#stop(reason, this.#unfinished?.lsn ?? lsn, `${detail} (page at ${formatLsn(lsn)})`)
  }

  #stop(reason: WalEndReason, lsn: Lsn, detail: string): undefined {
    this.#end = { reason, lsn, detail }
    this.#segment = undefined
  }
}

/** The CRC covers what follows the header, then the header up to the CRC: COMP_CRC32C in ValidXLogRecord. */
function isCrcRight(bytes: Uint8Array, view: DataView): boolean {
  const body = crc32c(bytes.subarray(recordHeaderLength))
  return crc32c(bytes.subarray(0, offsets.crc), body) === view.getUint32(offsets.crc, true)
}

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength)
}

/** MAXALIGN */
function align(bytes: number): number {
  return Math.ceil(bytes / 8) * 8
}
