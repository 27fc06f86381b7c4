import { equalBytes } from '../codec/digest.ts'
import { ObjectOpener, sealedHeaderBytes } from '../codec/sealed-object.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { PackReference } from './manifest-head.ts'
import { packKey } from './object-keys.ts'
import type { Repository } from './open-repository.ts'
import type { Unit } from './pack-index.ts'
import { decodeIndexFrame, readPackTrailer } from './pack-trailer.ts'

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
  const opener = new ObjectOpener(header, { keys: repository.keys.sealing, kind: 'pack', key })
  const { indexTag, units } = decodeIndexFrame(frame, opener, trailer)
  if (equalBytes(indexTag, reference.indexTag)) return units
  throw new OperationError('damaged', `reading pack "${key}": it is not the pack that the backup means`)
}
