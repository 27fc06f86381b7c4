import type { SealingKeys } from '../codec/sealed-object.ts'
import type { DumpPart } from './dump-head.ts'

/** What the worker is given once, when it starts. */
export interface PartSealingSetup {
  readonly keys: SealingKeys
  /** Of the digests of members. */
  readonly namesKey: Uint8Array
}

/** A part to be sealed. */
export interface RawPart {
  readonly number: number
  readonly key: string
  /** zstd level. 0: it is compressed already. */
  readonly level: number
  /** Its bytes: at least one. */
  readonly raw: Uint8Array
  /** Of `mostSealedBytes` at least. The sealed part is written to its beginning. */
  readonly sealed: Uint8Array
}

/** Parts of a member come in their order, and then its end. Their memory is shared. */
export type PartSealingRequest =
  | { readonly kind: 'part'; readonly member: number; readonly part: RawPart }
  | { readonly kind: 'end'; readonly member: number }

export type PartSealingResponse = { readonly kind: 'part'; readonly part: DumpPart } | SealedMember

/** What the worker has seen of a member that has ended. */
interface SealedMember {
  readonly kind: 'end'
  readonly rawBytes: number
  /** Keyed digest of the raw bytes, in hexadecimal. */
  readonly digest: string
}
