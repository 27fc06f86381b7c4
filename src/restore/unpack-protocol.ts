import type { BytePath } from '../platform/byte-path.ts'
import type { SealedPackIndex } from '../repository/read-pack-index.ts'
import type { SealingKeys } from '../codec/sealed-object.ts'

/** What an unpack worker is given once, when it starts. */
export interface UnpackSetup {
  readonly keys: SealingKeys
  readonly blockHashSeed: bigint
  /** Blocks that are right already are not written: they are compared by their hashes. */
  readonly isDelta: boolean
}

/** Columns of the runs of one request. `file` is an index into its `paths`. */
export const requestColumns = { unit: 0, unitOffset: 1, length: 2, file: 3, fileOffset: 4 } as const
export const requestColumnCount = 5

export type UnpackRequest =
  /** Looks, by the index of a pack, whether anything that it holds of the runs has to be written. */
  | {
      readonly kind: 'compare'
      readonly indexTag: Uint8Array
      readonly index: SealedPackIndex
      readonly paths: readonly BytePath[]
      readonly runs: Float64Array
    }
  | {
      readonly kind: 'pack'
      readonly key: string
      readonly indexTag: Uint8Array
      readonly pack: Uint8Array<ArrayBuffer>
      /** Absolute. */
      readonly paths: readonly BytePath[]
      /** Rows of `requestColumns`, in the order of their units. */
      readonly runs: Float64Array
    }
  /** These runs must be zeros: file, offset, length. */
  | { readonly kind: 'zeros'; readonly paths: readonly BytePath[]; readonly runs: Float64Array }
  | { readonly kind: 'sync'; readonly paths: readonly BytePath[] }

export interface UnpackResponse {
  readonly comparedBytes: number
  readonly writtenBytes: number
  /** Of a comparison: something is not as it should be. */
  readonly isDifferent: boolean
}
