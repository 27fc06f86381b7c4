import type { Lsn } from '../domain/lsn.ts'

/**
 * Why there are no more records. PostgreSQL takes each of them for the end of WAL; only who knows what should be there
 * can say which one is damage.
 */
export type WalEndReason =
  /** The last record ends with the last segment that was given. */
  | 'segments-exhausted'
  /** The last record goes on in a segment that was not given. */
  | 'record-unfinished'
  /** The given segments do not follow each other. */
  | 'segment-gap'
  /** The given bytes are shorter than a segment of this cluster. */
  | 'segment-truncated'
  /** Nothing was written here yet. */
  | 'zeroes'
  /** A page of an older use of the file: nothing was written here yet. */
  | 'page-recycled'
  | 'page-invalid'
  | 'record-length'
  | 'record-manager'
  | 'record-link'
  | 'record-crc'
  | 'record-layout'
  | 'record-continuation'

export interface WalProblem {
  readonly reason: WalEndReason
  /** For people: what was found and what was expected. */
  readonly detail: string
}

export interface WalEnd extends WalProblem {
  /** Where the record that could not be read begins, or would begin. */
  readonly lsn: Lsn
}
