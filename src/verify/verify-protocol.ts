import type { SealingKeys } from '../codec/sealed-object.ts'
import type { TimelineHistory } from '../domain/timeline-history.ts'
import type { DumpPart } from '../repository/dump-head.ts'
import type { ClusterRecord } from '../repository/cluster-record.ts'
import type { WalEnd } from '../wal/wal-end.ts'

/** What a verify worker is given once, when it starts. */
export interface VerifySetup {
  readonly keys: SealingKeys
  readonly namesKey: Uint8Array
  readonly blockHashSeed: bigint
  readonly cluster: Pick<ClusterRecord, 'id' | 'systemIdentifier' | 'major' | 'walSegmentSize'>
}

/** What the manifests of listed backups want of a pack. */
export interface PackNeeds {
  readonly indexTag: Uint8Array
  /** Where the farthest run of bytes that is wanted of each unit ends; 0 for units of which nothing is. */
  readonly ends: Uint32Array
  /** -1: none. May lie beyond `ends` when no pack can have such a unit. */
  readonly highestUnit: number
}

export type VerifyRequest =
  /** `needs` undefined: nothing refers to the pack. */
  | {
      readonly kind: 'pack'
      readonly key: string
      readonly bytes: Uint8Array<ArrayBuffer>
      readonly needs: PackNeeds | undefined
    }
  /** Begins a file of the WAL archive with its part `00`. */
  | { readonly kind: 'wal-open'; readonly key: string; readonly bytes: Uint8Array<ArrayBuffer> }
  | {
      readonly kind: 'wal-part'
      readonly key: string
      readonly part: number
      readonly bytes: Uint8Array<ArrayBuffer>
    }
  /** All parts were given. `follows`: the segment goes on where the one before it, of the same worker, ended. */
  | {
      readonly kind: 'wal-close'
      readonly history: TimelineHistory | undefined
      readonly follows: boolean
    }
  /** Begins a member of a dump. */
  | { readonly kind: 'dump-open' }
  | {
      readonly kind: 'dump-part'
      readonly key: string
      readonly part: DumpPart
      readonly bytes: Uint8Array<ArrayBuffer>
    }
  /** All parts of the member were given, and are whole: compares its bytes with its digest. */
  | { readonly kind: 'dump-close'; readonly key: string; readonly name: string; readonly digest: string }

export interface VerifyResponse {
  /** Bytes of content that were proven by this request. */
  readonly rawBytes: number
  /** After `wal-open`: how many further parts there are. */
  readonly partCount: number
  /** After `wal-close`: where the records end before the segment does, and why. */
  readonly end: WalEnd | undefined
}
