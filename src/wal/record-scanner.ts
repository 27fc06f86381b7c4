import { formatLsn, toLsn, type Lsn } from '../domain/lsn.ts'
import { FactCollector } from './collect-facts.ts'
import { firstCustomManager, managers } from './known-operations.ts'
import type { WalMajor } from './page-header.ts'
import { borrowKernel, returnKernel, roomStart, type RecordKernel } from './record-kernel.ts'
import { recordHeaderLength, ScannedRecord } from './scanned-record.ts'
import { mostCarriedBytes, type SegmentContents, type SegmentTail } from './segment-contents.ts'
import type { WalEnd, WalEndReason } from './wal-end.ts'
import type { WalFacts } from './wal-facts.ts'

/** No record can be longer: XLogRecordMaxSize and MaxAllocSize. */
const mostRecordBytes = 0x3fff_ffff
/** RM_NEXT_ID of 14 to 18. */
const builtInManagers = Object.keys(managers).length
/** XLOG_SWITCH of RM_XLOG_ID: catalog/pg_control.h. The rest of the segment is not used. */
const switchInfo = 0x40
const infoMask = 0xf0

export interface RecordsToScan {
  readonly startLsn: Lsn
  readonly segmentSize: number
  readonly major: WalMajor
  readonly fromLsn: Lsn | undefined
  readonly untilLsn: Lsn | undefined
}

/** The content of a page, without its header. */
interface PageContent {
  readonly bytes: Uint8Array
  /** Of `bytes` in the segment. */
  readonly offset: number
}

/** What is known of a segment's records at its end. */
export type RecordsFound = Pick<SegmentContents, 'tail' | 'firstRecord' | 'lastRecordLsn' | 'recordCount'>

/**
 * Reads the records of one segment, from the contents of its pages put one behind the other: so every record is in one
 * piece. Checks the same in the same order as WalRecordReader, but makes nothing for a record.
 */
export class RecordScanner {
  readonly #scope: RecordsToScan
  readonly #collector: FactCollector
  readonly #record: ScannedRecord
  readonly #kernel: RecordKernel
  /** Of the segment's start. The halves of an LSN never carry within a segment, which is aligned to its size. */
  readonly #startHigh: number
  readonly #startLow: number
  readonly #fromOffset: number
  readonly #untilOffset: number
  /** In the kernel's memory: where the next record, or the one that is not whole yet, begins, and where the bytes end. */
  #start = roomStart
  #roomEnd = roomStart
  /** What makes an address of the last page's content an offset in the segment. */
  #delta = 0
  /** In the segment, of the record that is not whole yet; otherwise -1. */
  #unfinishedOffset = -1
  #missing = 0
  #recordCount = 0
  #first: SegmentContents['firstRecord']
  /** Of the last whole record, in the segment; -1 when there is none yet. */
  #lastOffset = -1
  #hasSwitched = false
  #end: WalEnd | undefined

  constructor(scope: RecordsToScan, facts: WalFacts) {
    this.#scope = scope
    this.#collector = new FactCollector(facts, scope.major)
    this.#record = new ScannedRecord(scope.major)
    this.#kernel = borrowKernel()
    this.#startHigh = Number(scope.startLsn >> 32n)
    this.#startLow = Number(scope.startLsn & 0xffff_ffffn)
    this.#fromOffset = Number((scope.fromLsn ?? scope.startLsn) - scope.startLsn)
    this.#untilOffset =
      scope.untilLsn === undefined ? Number.POSITIVE_INFINITY : Number(scope.untilLsn - scope.startLsn)
  }

  /** What stopped the reading. */
  get end(): WalEnd | undefined {
    return this.#end
  }

  /** After a segment switch nothing in the segment counts, not even its page headers. */
  get hasSwitched(): boolean {
    return this.#hasSwitched
  }

  /** How many bytes of a record that has begun are still to come. */
  get missing(): number {
    return this.#missing
  }

  /** Of the record that has begun. */
  get unfinishedLsn(): Lsn | undefined {
    return this.#unfinishedOffset < 0 ? undefined : this.#lsnAt(this.#unfinishedOffset)
  }

  /** Forgets the record that has begun: the server gave it up. */
  abandon(): void {
    this.#unfinishedOffset = -1
    this.#missing = 0
    this.#start = this.#roomEnd
  }

  /** Reads on through a page. Its content goes on with the record that has begun, or begins with a new one. */
  takePage(page: PageContent): void {
    this.#append(page)
    if (this.#unfinishedOffset >= 0) {
      this.#missing -= page.bytes.length
      if (this.#missing > 0) return
      this.#missing = 0
    }
    const checked = this.#kernel.checkRecords(this.#start, this.#roomEnd)
    while (this.#start < this.#roomEnd && this.#missing === 0 && this.#end === undefined) {
      this.#readRecord(checked)
      if (this.#hasSwitched) return
    }
  }

  /** Nothing may be read afterwards. `isWhole`: the segment was read to its end, so a record that has begun is its tail. */
  finish(isWhole: boolean): RecordsFound {
    const tail = isWhole ? this.#tail() : undefined
    const firstRecord = this.#first ?? (tail === undefined ? undefined : this.#firstOf(tail))
    returnKernel(this.#kernel)
    return {
      tail,
      firstRecord,
      lastRecordLsn: tail?.lsn ?? this.#lastLsn(),
      recordCount: this.#recordCount,
    }
  }

  /** Puts the bytes behind those that are there; what was read before makes room. */
  #append({ bytes, offset }: PageContent): void {
    const kernel = this.#kernel
    if (this.#roomEnd + bytes.length > kernel.bytes.length) {
      kernel.bytes.copyWithin(roomStart, this.#start, this.#roomEnd)
      this.#roomEnd -= this.#start - roomStart
      this.#start = roomStart
      kernel.makeRoom(this.#roomEnd + bytes.length)
    }
    kernel.bytes.set(bytes, this.#roomEnd)
    this.#delta = offset - this.#roomEnd
    this.#roomEnd += bytes.length
    this.#record.bytes = kernel.bytes
    this.#record.view = kernel.view
  }

  /** `checked`: where the first record begins whose CRC is not known to be right. */
  #readRecord(checked: number): void {
    const start = this.#start
    const isNew = this.#unfinishedOffset < 0
    const offset = isNew ? start + this.#delta : this.#unfinishedOffset
    const totalLength = this.#record.view.getUint32(start, true)
    if (isNew && !this.#isPossible(offset, totalLength)) return
    if (totalLength > this.#roomEnd - start) {
      this.#beginRecord(offset, totalLength)
      return
    }
    this.#place(offset, totalLength)
    if (this.#hasHeaderProblem(offset)) return
    if (start >= checked) this.#stop('record-crc', offset, 'the record does not match its CRC')
    else this.#accept(offset, totalLength)
  }

  #isPossible(offset: number, totalLength: number): boolean {
    if (offset >= this.#untilOffset) {
      this.#stop('segments-exhausted', offset, 'the records from here on were not asked for')
      return false
    }
    if (totalLength >= recordHeaderLength && totalLength <= mostRecordBytes) return true
    if (totalLength === 0) this.#stop('zeroes', offset, 'no record was written here')
    else this.#stop('record-length', offset, `the record's length of ${totalLength} bytes is impossible`)
    return false
  }

  /** The record goes on on the next page. */
  #beginRecord(offset: number, totalLength: number): void {
    const room = this.#roomEnd - this.#start
    if (room >= recordHeaderLength) {
      this.#place(offset, totalLength)
      if (this.#hasHeaderProblem(offset)) return
    }
    this.#unfinishedOffset = offset
    this.#missing = totalLength - room
  }

  #place(offset: number, totalLength: number): void {
    const record = this.#record
    record.place(this.#start, this.#start + totalLength)
    record.lsnHigh = this.#startHigh
    record.lsnLow = this.#startLow + offset
  }

  #placeEnd(endOffset: number): void {
    const low = this.#startLow + endOffset
    const isCarried = low > 0xffff_ffff
    this.#record.endHigh = this.#startHigh + (isCarried ? 1 : 0)
    this.#record.endLow = isCarried ? 0 : low
  }

  #accept(offset: number, totalLength: number): void {
    const record = this.#record
    if (!record.readLayout()) {
      this.#stop('record-layout', offset, "the record's parts do not add up to its length")
      return
    }
    this.#start += Math.ceil(totalLength / 8) * 8
    this.#hasSwitched = record.rmid === managers.xlog && (record.info & infoMask) === switchInfo
    this.#placeEnd(this.#hasSwitched ? this.#scope.segmentSize : this.#start + this.#delta)
    this.#first ??= { lsn: record.lsn, prevLsn: record.prevLsn }
    this.#lastOffset = offset
    this.#unfinishedOffset = -1
    this.#recordCount += 1
    if (offset >= this.#fromOffset) this.#collector.add(record)
  }

  /** The checks of ValidXLogRecordHeader in access/transam/xlogreader.c. True when they failed and reading has stopped. */
  #hasHeaderProblem(offset: number): boolean {
    const { rmid } = this.#record
    if (rmid >= builtInManagers && (rmid < firstCustomManager || this.#scope.major === 14)) {
      this.#stop('record-manager', offset, `the record belongs to the unknown resource manager ${rmid}`)
      return true
    }
    if (this.#isLinked(offset)) return false
    const last = this.#lastLsn()
    const expected = last === undefined ? 'an earlier one' : formatLsn(last)
    const found = formatLsn(this.#record.prevLsn)
    this.#stop('record-link', offset, `the record names ${found} before it, expected ${expected}`)
    return true
  }

  #isLinked(offset: number): boolean {
    const { prevHigh, prevLow } = this.#record
    if (this.#lastOffset >= 0) {
      return prevLow === this.#startLow + this.#lastOffset && prevHigh === this.#startHigh
    }
    return prevHigh < this.#startHigh || (prevHigh === this.#startHigh && prevLow < this.#startLow + offset)
  }

  #stop(reason: WalEndReason, offset: number, detail: string): void {
    this.#end = { reason, lsn: this.#lsnAt(offset), detail }
  }

  #tail(): SegmentTail | undefined {
    if (this.#unfinishedOffset < 0) return undefined
    const length = this.#roomEnd - this.#start
    return {
      lsn: this.#lsnAt(this.#unfinishedOffset),
      previousLsn: this.#lastLsn(),
      totalLength: length + this.#missing,
      length,
      bytes: length > mostCarriedBytes ? undefined : this.#kernel.bytes.slice(this.#start, this.#roomEnd),
    }
  }

  #firstOf({ lsn, length }: SegmentTail): SegmentContents['firstRecord'] {
    if (length < recordHeaderLength) return { lsn, prevLsn: undefined }
    this.#record.place(this.#start, this.#roomEnd)
    return { lsn, prevLsn: this.#record.prevLsn }
  }

  #lastLsn(): Lsn | undefined {
    return this.#lastOffset < 0 ? undefined : this.#lsnAt(this.#lastOffset)
  }

  #lsnAt(offset: number): Lsn {
    return toLsn(this.#scope.startLsn + BigInt(offset))
  }
}
