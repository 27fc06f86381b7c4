import type { ArchivePlace } from '../archive/archive-place.ts'

/** One cluster in two repositories. */
export interface TransferPlaces {
  readonly from: ArchivePlace
  readonly to: ArchivePlace
}
