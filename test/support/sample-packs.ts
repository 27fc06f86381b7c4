import type { SealingKeys } from '../../src/codec/sealed-object.ts'
import { packBufferBytes, PackWriter, type FinishedPack } from '../../src/repository/pack-writer.ts'
import type { SampleUnit } from './repository-samples.ts'

interface SamplePack {
  readonly keys: SealingKeys
  readonly key: string
  readonly compressionLevel?: number
}

/** One for all packs of a test file: a pack is copied out of it. */
const buffer = new Uint8Array(packBufferBytes)

/** The bytes of a pack of these units. */
export function buildPack(
  units: readonly SampleUnit[],
  { keys, key, compressionLevel = 1 }: SamplePack,
): FinishedPack & { readonly bytes: Uint8Array } {
  const writer = new PackWriter({ buffer, keys, key, compressionLevel })
  for (const { raw, pieces } of units) writer.addUnit(raw, pieces)
  const finished = writer.finish()
  return { ...finished, bytes: buffer.slice(0, finished.sizeBytes) }
}
