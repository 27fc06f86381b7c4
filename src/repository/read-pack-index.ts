import { equalBytes } from '../codec/digest.ts'
import { ObjectOpener, sealedHeaderBytes, type SealingKeys } from '../codec/sealed-object.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { PackReference } from './manifest-head.ts'
import { packKey } from './object-keys.ts'
import type { Repository } from './open-repository.ts'
import type { Unit } from './pack-index.ts'
import { decodeIndexFrame, readPackTrailer, type PackTrailer } from './pack-trailer.ts'

/** Most indexes are shorter; for a longer one the store is asked once more. */
const tailBytes = 128 * 1024

type Reference = Pick<PackReference, 'label' | 'number' | 'sizeBytes' | 'indexTag'>

/**
 * What the units of a pack hold, by its index alone: the units are not read. Throws `damaged` when the pack is missing or
 * is not the one that the manifest means.
 */
export async function readPackIndex(
  repository: Repository,
  { clusterId, reference }: { readonly clusterId: string; readonly reference: Reference },
  context: RunContext,
): Promise<readonly Unit[]> {
  const sealed = await fetchPackIndex(repository, { clusterId, reference }, context)
  return openPackIndex(sealed, repository.keys.sealing, reference.indexTag)
}

/** The index of a pack as it is stored, with what is needed to open it: it can be sent to a worker. */
export interface SealedPackIndex {
  readonly key: string
  readonly header: Uint8Array
  readonly frame: Uint8Array
  readonly trailer: PackTrailer
}

/** The units of the pack whose index has this tag. Throws `damaged`. */
export function openPackIndex(
  sealed: SealedPackIndex,
  keys: SealingKeys,
  expectedTag: Uint8Array,
): readonly Unit[] {
  const { indexTag, units } = openAnyPackIndex(sealed, keys)
  if (equalBytes(indexTag, expectedTag)) return units
  throw new OperationError(
    'damaged',
    `reading pack "${sealed.key}": it is not the pack that the backup means`,
  )
}

/** The units of whatever pack is there, and the tag of its index. Throws `damaged`. */
export function openAnyPackIndex(
  { key, header, frame, trailer }: SealedPackIndex,
  keys: SealingKeys,
): { readonly indexTag: Uint8Array; readonly units: readonly Unit[] } {
  return decodeIndexFrame(frame, new ObjectOpener(header, { keys, kind: 'pack', key }), trailer)
}

/** Fetches what `openPackIndex` opens. Throws `damaged` when the pack is missing. */
export async function fetchPackIndex(
  repository: Repository,
  { clusterId, reference }: { readonly clusterId: string; readonly reference: Reference },
  context: RunContext,
): Promise<SealedPackIndex> {
  const { sizeBytes } = reference
  const key = packKey(clusterId, reference)
  const bytesFrom = async (offset: number, length: number): Promise<Uint8Array> => {
    const bytes = await repository.store.get(key, { offset, length }, context)
    if (bytes === undefined) throw new OperationError('damaged', `reading pack "${key}": it is missing`)
    return bytes
  }
  const tailOffset = Math.max(0, sizeBytes - tailBytes)
  const tail = await bytesFrom(tailOffset, sizeBytes - tailOffset)
  const trailer = readPackTrailer(tail, { sizeBytes, key })
  const header = await bytesFrom(0, sealedHeaderBytes)
  const frame =
    trailer.indexOffset >= tailOffset
      ? tail.subarray(trailer.indexOffset - tailOffset, trailer.indexEnd - tailOffset)
      : await bytesFrom(trailer.indexOffset, trailer.indexEnd - trailer.indexOffset)
  return { key, header, frame, trailer }
}
