import type { TransferPool } from './transfer-packs.ts'
import type { TransferPlaces } from './transfer-places.ts'

/** What is good is in `from`, what is damaged in `to`. */
export interface RepairTools extends TransferPlaces {
  readonly pool: TransferPool
  /** Called right before anything is deleted: throws when that may not be done any more. */
  readonly confirm: () => Promise<void>
}
