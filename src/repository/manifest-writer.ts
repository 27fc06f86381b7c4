import assert from 'node:assert/strict'
import { BinaryWriter } from '../codec/binary-writer.ts'
import { packPayload } from '../codec/compression.ts'
import { keyedDigest } from '../codec/keyed-digest.ts'
import { createObjectSealer, sealSingle, type ObjectSealer } from '../codec/sealed-object.ts'
import type { BackupLabel } from '../domain/backup-label.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { encodeEntry, newEntryContext, type Extent, type ManifestEntry } from './manifest-entry.ts'
import {
  encodeManifestHead,
  type ManifestHead,
  type ManifestPart,
  type PackReference,
} from './manifest-head.ts'
import { manifestKey, manifestPartKey, type ManifestRevision } from './object-keys.ts'
import type { Repository } from './open-repository.ts'

/** A frame of entries is closed when it reaches this much; a reader holds one frame at a time. */
const frameTargetBytes = 1024 * 1024
/** A part object is closed when it reaches this much. */
const partTargetBytes = 16 * 1024 * 1024
const compressionLevel = 3

/** A head as the writer is given it: what follows from the entries is filled in. */
export type UnfinishedHead = Omit<ManifestHead, 'parts' | 'packs'> & {
  readonly packs: readonly WrittenPack[]
}

/** Without raw bytes: a pack of this very backup, to which all that is in it matters. */
export type WrittenPack = Omit<PackReference, 'liveBytes' | 'rawBytes'> &
  Partial<Pick<PackReference, 'rawBytes'>>

interface OpenPart {
  readonly sealer: ObjectSealer
  readonly chunks: Uint8Array[]
  sizeBytes: number
  /** The frame that is sealed when it is known whether another one follows. */
  pending: Uint8Array
}

/**
 * Writes a manifest as a stream: entries go into frames, frames into part objects, which are stored as they fill. The
 * head is stored last; without it there is no backup, and parts without a head are garbage.
 */
export class ManifestWriter {
  readonly #repository: Repository
  readonly #clusterId: string
  readonly #manifest: ManifestRevision
  /** By index into the pack table. */
  readonly #liveBytes: number[] = []
  readonly #context: RunContext
  readonly #parts: ManifestPart[] = []
  #frame = new BinaryWriter()
  #entryContext = newEntryContext()
  #last: { root: number; path: Uint8Array } | undefined
  #part: OpenPart | undefined

  constructor(
    repository: Repository,
    { clusterId, label, revision }: ManifestRevision & { readonly clusterId: string },
    context: RunContext,
  ) {
    this.#repository = repository
    this.#clusterId = clusterId
    this.#manifest = { label, revision }
    this.#context = context
  }

  /** Entries come in ascending order of root, then of path bytes, each once. */
  async add(entry: ManifestEntry): Promise<void> {
    assert.ok(
      this.#last === undefined || compareEntries(this.#last, entry) < 0,
      'manifest entries are out of order',
    )
    this.#last = { root: entry.root, path: entry.path }
    encodeEntry(this.#frame, entry, this.#entryContext)
    if (entry.kind === 'file') this.#countLiveBytes(entry.extents)
    if (this.#frame.length >= frameTargetBytes) await this.#closeFrame()
  }

  /** Stores the rest and then the head. Gives the manifest's digest, for the catalogue, and what it added to the store. */
  async finish(head: UnfinishedHead): Promise<{ digest: string; storedBytes: number }> {
    await this.#closeFrame()
    await this.#closePart()
    const packs = head.packs.map((pack, index): PackReference => {
      const liveBytes = this.#liveBytes[index] ?? 0
      return { ...pack, liveBytes, rawBytes: pack.rawBytes ?? liveBytes }
    })
    const whole = { ...head, packs, parts: this.#parts }
    const stored = await storeManifestHead(
      this.#repository,
      { clusterId: this.#clusterId, ...this.#manifest, head: whole },
      this.#context,
    )
    const partBytes = this.#parts.reduce((sum, part) => sum + part.sizeBytes, 0)
    return { digest: stored.digest, storedBytes: stored.storedBytes + partBytes }
  }

  #countLiveBytes(extents: readonly Extent[]): void {
    for (const { length, source } of extents) {
      if (source.kind === 'unit') this.#liveBytes[source.pack] = (this.#liveBytes[source.pack] ?? 0) + length
    }
  }

  async #closeFrame(): Promise<void> {
    if (this.#frame.length === 0) return
    const payload = this.#frame.finish()
    this.#frame = new BinaryWriter()
    this.#entryContext = newEntryContext()
    if (this.#part !== undefined && this.#part.sizeBytes >= partTargetBytes) await this.#closePart()
    const part = (this.#part ??= this.#openPart(payload))
    if (part.pending === payload) return
    // A frame is sealed when the next one is known, because the last frame of an object is marked as such.
    this.#sealPending(false)
    part.pending = payload
  }

  #openPart(pending: Uint8Array): OpenPart {
    const key = manifestPartKey(this.#clusterId, this.#manifest, this.#parts.length + 1)
    const sealer = createObjectSealer({ keys: this.#repository.keys.sealing, kind: 'manifest-part', key })
    return { sealer, chunks: [sealer.header], sizeBytes: sealer.header.length, pending }
  }

  #sealPending(isLast: boolean): void {
    const part = this.#part
    assert.ok(part)
    for (const chunk of part.sealer.sealFrame(packPayload(part.pending, compressionLevel), isLast)) {
      part.chunks.push(chunk)
      part.sizeBytes += chunk.length
    }
  }

  async #closePart(): Promise<void> {
    if (this.#part === undefined) return
    this.#sealPending(true)
    const bytes = Buffer.concat(this.#part.chunks)
    this.#part = undefined
    const key = manifestPartKey(this.#clusterId, this.#manifest, this.#parts.length + 1)
    await storeManifestObject(this.#repository, { key, bytes, label: this.#manifest.label }, this.#context)
    const digest = keyedDigest(this.#repository.keys.namesKey, bytes)
    this.#parts.push({ sizeBytes: bytes.length, digest })
  }
}

interface WholeManifest extends ManifestRevision {
  readonly clusterId: string
  readonly head: ManifestHead
}

/** Stores the head of a manifest whose parts are stored. Gives the manifest's digest, for the catalogue. */
export async function storeManifestHead(
  repository: Repository,
  { clusterId, label, revision, head }: WholeManifest,
  context: RunContext,
): Promise<{ readonly digest: string; readonly storedBytes: number }> {
  const key = manifestKey(clusterId, { label, revision })
  const identity = { keys: repository.keys.sealing, kind: 'manifest', key } as const
  const bytes = sealSingle(encodeManifestHead(head), identity)
  await storeManifestObject(repository, { key, bytes, label }, context)
  return { digest: keyedDigest(repository.keys.namesKey, bytes), storedBytes: bytes.length }
}

/** Stores the head or a part. Throws `busy` when there is one already. */
export async function storeManifestObject(
  repository: Repository,
  { key, bytes, label }: { readonly key: string; readonly bytes: Uint8Array; readonly label: BackupLabel },
  context: RunContext,
): Promise<void> {
  if ((await repository.store.putIfAbsent(key, bytes, context)) === 'created') return
  throw new OperationError('busy', `writing the manifest of backup ${label}: "${key}" exists already`, {
    hint: 'Another backup took the same label; run the command again.',
  })
}

/** The order of entries: by root, then by path bytes. */
export function compareEntries(
  one: { readonly root: number; readonly path: Uint8Array },
  other: { readonly root: number; readonly path: Uint8Array },
): number {
  return one.root === other.root ? Buffer.compare(one.path, other.path) : one.root - other.root
}
