import { toLsn, type Lsn } from '../domain/lsn.ts'

/** Bytes in a WAL page (XLOG_BLCKSZ). Servers built with another size are not supported, and are told apart by the header. */
export const walPageSize = 8192

/** The PostgreSQL versions whose WAL we can read. */
export type WalMajor = 14 | 15 | 16 | 17 | 18

/** Bits of xlp_info. */
export const pageFlags = {
  /** XLP_FIRST_IS_CONTRECORD: the page begins with the rest of a record. */
  continuation: 0x1,
  /** XLP_LONG_HEADER: set on the first page of a segment, nowhere else. */
  long: 0x2,
  /** XLP_FIRST_IS_OVERWRITE_CONTRECORD: the record that the page before began was given up. */
  overwritesContinuation: 0x8,
  /** With XLP_BKP_REMOVABLE, 0x4, which says nothing that we need: full page images on the page are optional. */
  all: 0xf,
} as const

/** XLogPageHeaderData in access/xlog_internal.h. */
export interface PageHeader {
  readonly magic: number
  readonly flags: number
  /** The timeline of the first record on the page. Zero in a page that was never written. */
  readonly timeline: number
  readonly address: Lsn
  /** How many bytes of the record that the page before began are still to come, from this page on. */
  readonly continuedBytes: number
  /** Bytes that this header takes. */
  readonly length: number
}

/** What XLogLongPageHeaderData adds, on the first page of every segment. */
export interface SegmentIdentity {
  readonly systemIdentifier: bigint
  readonly segmentSize: number
  readonly pageSize: number
}

/** Byte offsets in XLogPageHeaderData and XLogLongPageHeaderData, access/xlog_internal.h; both padded to 8 bytes. */
const offsets = {
  magic: 0,
  flags: 2,
  timeline: 4,
  address: 8,
  continuedBytes: 16,
  systemIdentifier: 24,
  segmentSize: 32,
  pageSize: 36,
} as const
export const shortHeaderLength = 24
export const longHeaderLength = 40

/** XLOG_PAGE_MAGIC of each version. It changes with the WAL format, so it stays the same within a version. */
const magics: Readonly<Record<WalMajor, number>> = {
  14: 0xd10d,
  15: 0xd110,
  16: 0xd113,
  17: 0xd116,
  18: 0xd118,
}
const majorsByMagic: ReadonlyMap<number, WalMajor> = new Map([
  [magics[14], 14],
  [magics[15], 15],
  [magics[16], 16],
  [magics[17], 17],
  [magics[18], 18],
])

/** The version whose servers write this magic; undefined for those that we do not know. */
export function majorOfMagic(magic: number): WalMajor | undefined {
  return majorsByMagic.get(magic)
}

export function magicOfMajor(major: WalMajor): number {
  return magics[major]
}

/** Reads the header of the page at `offset`, which must hold at least 24 bytes there. Judges nothing. */
export function readPageHeader(bytes: DataView, offset: number): PageHeader {
  const flags = bytes.getUint16(offset + offsets.flags, true)
  return {
    magic: bytes.getUint16(offset + offsets.magic, true),
    flags,
    timeline: bytes.getUint32(offset + offsets.timeline, true),
    address: toLsn(bytes.getBigUint64(offset + offsets.address, true)),
    continuedBytes: bytes.getUint32(offset + offsets.continuedBytes, true),
    length: (flags & pageFlags.long) === 0 ? shortHeaderLength : longHeaderLength,
  }
}

/** Reads what only a long header has; the page must hold at least 40 bytes. */
export function readSegmentHeader(bytes: DataView): PageHeader & SegmentIdentity {
  return {
    ...readPageHeader(bytes, 0),
    systemIdentifier: bytes.getBigUint64(offsets.systemIdentifier, true),
    segmentSize: bytes.getUint32(offsets.segmentSize, true),
    pageSize: bytes.getUint32(offsets.pageSize, true),
  }
}
