import { BinaryReader } from '../codec/binary-reader.ts'
import { unpackPayload } from '../codec/compression.ts'
import { keyedDigest } from '../codec/keyed-digest.ts'
import { openSealedObject } from '../codec/sealed-object.ts'
import type { BackupLabel } from '../domain/backup-label.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { decodeEntry, newEntryContext, type ManifestEntry } from './manifest-entry.ts'
import { decodeManifestHead, type ManifestHead } from './manifest-head.ts'
import { compareEntries } from './manifest-writer.ts'
import { manifestKey, manifestPartKey, type ManifestRevision } from './object-keys.ts'
import type { Repository } from './open-repository.ts'
import { openObject } from './sealed-store.ts'

/** A frame is closed when it has 1 MiB; the last entry in it has at most `mostExtents` extents and damaged blocks. */
const largestFrameBytes = 32 * 1024 * 1024

export interface ManifestName extends ManifestRevision {
  readonly clusterId: string
  /** From the catalogue: the manifest must be this one. */
  readonly manifestDigest: string
}

/** The head of a listed backup's manifest. Throws `damaged` when it is absent, changed or not the one that was listed. */
export async function readManifestHead(
  repository: Repository,
  { clusterId, label, revision, manifestDigest }: ManifestName,
  context: RunContext,
): Promise<ManifestHead> {
  const key = manifestKey(clusterId, { label, revision })
  const sealed = await repository.store.get(key, undefined, context)
  if (sealed === undefined) throw damaged(label, `its manifest "${key}" is missing`)
  const payload = openObject(repository, { kind: 'manifest', key }, sealed)
  if (keyedDigest(repository.keys.namesKey, sealed) !== manifestDigest) {
    throw damaged(label, `its manifest "${key}" is not the one that was listed`)
  }
  const head = decodeManifestHead(payload, key)
  if (head.backup.label === label && head.backup.revision === revision) return head
  throw damaged(
    label,
    `its manifest "${key}" says that it is revision ${head.backup.revision} of ${head.backup.label}`,
  )
}

/** The entries of a manifest in their order, one frame in memory at a time. Throws `damaged`, before or on the way. */
export async function* readManifestEntries(
  repository: Repository,
  { clusterId, head }: { clusterId: string; head: ManifestHead },
  context: RunContext,
): AsyncGenerator<ManifestEntry> {
  let previous: ManifestEntry | undefined
  for (const [index, part] of head.parts.entries()) {
    const key = manifestPartKey(clusterId, head.backup, index + 1)
    const sealed = await repository.store.get(key, undefined, context)
    if (sealed === undefined) throw damaged(head.backup.label, `"${key}" is missing`)
    if (keyedDigest(repository.keys.namesKey, sealed) !== part.digest) {
      throw damaged(head.backup.label, `"${key}" is not the one that its manifest means`)
    }
    for (const entry of decodePart(repository, sealed, key)) {
      if (previous !== undefined && compareEntries(previous, entry) >= 0) {
        throw damaged(head.backup.label, `the entries of "${key}" are out of order`)
      }
      if (!refersInto(head, entry)) {
        throw damaged(head.backup.label, `"${key}" names a pack or an owner that the manifest does not have`)
      }
      previous = entry
      yield entry
    }
  }
}

function* decodePart(repository: Repository, sealed: Uint8Array, key: string): Generator<ManifestEntry> {
  const identity = { keys: repository.keys.sealing, kind: 'manifest-part', key } as const
  for (const payload of openSealedObject(sealed, identity)) {
    const description = `manifest part "${key}"`
    const reader = new BinaryReader(unpackPayload(payload, largestFrameBytes, description), description)
    const entryContext = newEntryContext()
    while (reader.remaining > 0) yield decodeEntry(reader, entryContext)
  }
}

function refersInto({ packs, owners }: ManifestHead, entry: ManifestEntry): boolean {
  if (entry.owner >= owners.length) return false
  if (entry.kind !== 'file') return true
  return entry.extents.every(({ source }) => source.kind === 'zeros' || source.pack < packs.length)
}

function damaged(label: BackupLabel, what: string): OperationError {
  return new OperationError('damaged', `reading backup ${label}: ${what}`, {
    hint: 'Restore from another backup or repository, and take a new backup.',
  })
}
