import type { RunContext } from '../../src/domain/run-context.ts'
import type { ManifestEntry } from '../../src/repository/manifest-entry.ts'
import { ManifestWriter } from '../../src/repository/manifest-writer.ts'
import {
  readManifestEntries,
  readManifestHead,
  type ManifestName,
} from '../../src/repository/manifest-reader.ts'
import type { Repository } from '../../src/repository/open-repository.ts'
import { collect, sampleClusterId, sampleHead, sampleLabel } from './repository-samples.ts'

interface StoredManifest extends ManifestName {
  readonly storedBytes: number
}

/** Stores a manifest of these entries, whose head is the sample's. */
export async function storeManifest(
  repository: Repository,
  entries: Iterable<ManifestEntry>,
  context: RunContext,
): Promise<StoredManifest> {
  const name = { clusterId: sampleClusterId, label: sampleLabel, revision: 1 }
  const writer = new ManifestWriter(repository, name, context)
  for (const entry of entries) await writer.add(entry)
  const { digest, storedBytes } = await writer.finish(sampleHead())
  return { ...name, manifestDigest: digest, storedBytes }
}

/** Reads a manifest from its head to its last entry. */
export async function readManifest(
  repository: Repository,
  name: ManifestName,
  context: RunContext,
): Promise<readonly ManifestEntry[]> {
  const head = await readManifestHead(repository, name, context)
  return collect(readManifestEntries(repository, { clusterId: name.clusterId, head }, context))
}
