import { keyedDigest } from '../codec/keyed-digest.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { BackupEntry, ListedBackup } from '../repository/backup-entry.ts'
import type { ManifestHead, ManifestPart, PackReference } from '../repository/manifest-head.ts'
import { readManifestHead } from '../repository/manifest-reader.ts'
import { storeManifestHead, storeManifestObject } from '../repository/manifest-writer.ts'
import { manifestPartKey, manifestPrefix, type ManifestRevision } from '../repository/object-keys.ts'
import { resealObject } from '../repository/reseal-object.ts'
import { transferPacks, type PackTools } from './transfer-packs.ts'
import type { TransferPlaces } from './transfer-places.ts'

export interface TransferredBackup {
  /** As the other repository is to list it. */
  readonly entry: BackupEntry
  readonly storedBytes: number
}

/**
 * Copies the packs and the manifest of a listed backup. It is not listed there yet. Throws `damaged` when it cannot be read
 * whole; what was copied by then is garbage, or is used by the next attempt.
 */
export async function transferBackup(
  backup: ListedBackup,
  tools: PackTools,
  context: RunContext,
): Promise<TransferredBackup> {
  const { from } = tools
  const head = await readManifestHead(from.repository, { clusterId: from.cluster.id, ...backup }, context)
  const { packs, storedBytes } = await transferPacks(head, tools, context)
  const revision = await freeRevision(backup, tools, context)
  const manifest = await transferManifest({ head, packs, revision }, tools, context)
  const { isPinned: _isPinned, walRetention: _walRetention, ...entry } = backup
  return {
    entry: { ...entry, revision, manifestDigest: manifest.digest },
    storedBytes: storedBytes + manifest.storedBytes,
  }
}

interface CopiedManifest {
  readonly head: ManifestHead
  readonly packs: readonly PackReference[]
  readonly revision: number
}

/**
 * Stores a manifest of the same entries and other packs. Entries name packs by their place in the table, so that the parts stay
 * as they are but for their seals.
 */
export async function transferManifest(
  { head, packs, revision }: CopiedManifest,
  places: TransferPlaces,
  context: RunContext,
): Promise<{ readonly digest: string; readonly storedBytes: number }> {
  const { repository, cluster } = places.to
  const { label } = head.backup
  const parts: ManifestPart[] = []
  for (const number of head.parts.keys()) {
    parts.push(await transferPart({ head, part: number + 1, to: { label, revision } }, places, context))
  }
  const copied = { ...head, backup: { ...head.backup, revision }, parts, packs }
  const stored = await storeManifestHead(
    repository,
    { clusterId: cluster.id, label, revision, head: copied },
    context,
  )
  const partBytes = parts.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  return { digest: stored.digest, storedBytes: stored.storedBytes + partBytes }
}

interface CopiedPart {
  readonly head: ManifestHead
  /** From 1 on. */
  readonly part: number
  readonly to: ManifestRevision
}

async function transferPart(
  { head, part, to: target }: CopiedPart,
  { from, to }: TransferPlaces,
  context: RunContext,
): Promise<ManifestPart> {
  const fromKey = manifestPartKey(from.cluster.id, head.backup, part)
  const sealed = await from.repository.store.get(fromKey, undefined, context)
  const { namesKey } = from.repository.keys
  if (sealed === undefined || keyedDigest(namesKey, sealed) !== head.parts[part - 1]?.digest) {
    const found = sealed === undefined ? 'is missing' : 'is not the one that its manifest means'
    throw new OperationError('damaged', `reading backup ${head.backup.label}: "${fromKey}" ${found}`)
  }
  const key = manifestPartKey(to.cluster.id, target, part)
  const bytes = resealObject(
    sealed,
    { keys: from.repository.keys.sealing, kind: 'manifest-part', key: fromKey },
    { keys: to.repository.keys.sealing, key },
  )
  await storeManifestObject(to.repository, { key, bytes, label: target.label }, context)
  return { sizeBytes: bytes.length, digest: keyedDigest(to.repository.keys.namesKey, bytes) }
}

/** The first revision of which nothing is there: what a copying that was killed has left is never built on. */
export async function freeRevision(
  { label }: Pick<ListedBackup, 'label'>,
  { to: { repository, cluster } }: TransferPlaces,
  context: RunContext,
): Promise<number> {
  const prefix = manifestPrefix(cluster.id, label)
  let last = 0
  for await (const { key } of repository.store.list(prefix, context)) {
    const revision = Number.parseInt(key.slice(prefix.length), 10)
    if (revision > last) last = revision
  }
  return last + 1
}
