import { deriveKey } from '../codec/keyed-digest.ts'
import type { SealingKeys } from '../codec/sealed-object.ts'
import type { RepositoryHeader } from './repository-header.ts'

/** Everything derived from the root key. May be handed to a worker; never leaves the process. */
export interface RepositoryKeys {
  readonly sealing: SealingKeys
  /** For content-addressed names: equal contents get equal names only inside this repository. */
  readonly namesKey: Uint8Array
  /** Seeds the block hashes, so that nobody outside can craft two blocks with one hash. */
  readonly blockHashSeed: bigint
}

const firstEpoch = 1

/**
 * Derives a repository's keys. Without sealing there is no secret: the names and the seed come from the repository id,
 * which anybody with the repository can read.
 */
export function deriveRepositoryKeys(
  header: RepositoryHeader,
  rootKey: Uint8Array | undefined,
): RepositoryKeys {
  const secret = rootKey ?? header.repositoryId
  const derive = (purpose: string, length: number): Uint8Array =>
    deriveKey(secret, { salt: header.repositoryId, info: `holdfast v1 ${purpose}`, length })
  const isSealed = header.method !== 'none'
  return {
    sealing: {
      repositoryId: header.repositoryId,
      method: header.method,
      epochs: new Map(isSealed ? [[firstEpoch, derive(`objects of epoch ${firstEpoch}`, 32)]] : []),
      currentEpoch: isSealed ? firstEpoch : 0,
    },
    namesKey: derive('content-addressed names', 32),
    blockHashSeed: Buffer.from(derive('block hashes', 8)).readBigUInt64LE(),
  }
}
