import type { SealingKeys } from '../codec/sealed-object.ts'

/** What a worker is given once, when it starts. */
export interface TransferSetup {
  readonly from: SealingKeys
  readonly to: SealingKeys
  /** Of the repository that is copied to. */
  readonly blockHashSeed: bigint
}

/** A pack that is to be sealed for the other repository. */
export interface TransferRequest {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly fromKey: string
  readonly toKey: string
}

export interface TransferResponse {
  /** The same pack, for the other repository. */
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly indexTag: Uint8Array
  /** The tag of the index of what was given. */
  readonly sourceTag: Uint8Array
}
