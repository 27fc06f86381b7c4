import type { PackTools } from './transfer-packs.ts'

/** What is good is in `from`, what is damaged in `to`. */
export interface RepairTools extends PackTools {
  /** Called right before anything is deleted: throws when that may not be done any more. */
  readonly confirm: () => Promise<void>
}
