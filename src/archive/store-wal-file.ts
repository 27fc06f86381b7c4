import { packPayload } from '../codec/compression.ts'
import { digestOf } from '../codec/digest.ts'
import { createObjectSealer } from '../codec/sealed-object.ts'
import type { ArchiveFileName } from '../domain/archive-file-name.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { readObject, writeObject } from '../repository/sealed-store.ts'
import type { ArchivePlace } from './archive-place.ts'
import { ContentDigest } from './content-digest.ts'
import { readWalObject, readWalPart } from './read-wal-object.ts'
import type { SealedObject } from './seal-whole-file.ts'
import { encodeWalObjectHead, frameBytes, partBytes, type WalPart } from './wal-object-head.ts'
import { walObjectKey, type WalObject } from './wal-object-key.ts'
import type { WalSource } from './wal-source.ts'

export interface StoreRequest {
  readonly source: WalSource
  readonly name: ArchiveFileName
  /** zstd level of the content. */
  readonly compressionLevel: number
}

export interface StoredWalFile {
  readonly digest: string
  /** 'exists': the same content was archived before; it was read back and is good. */
  readonly answer: 'created' | 'exists'
}

interface Naming {
  readonly place: ArchivePlace
  readonly object: WalObject
}

/** Stores a file of one object that was sealed already; otherwise as `storeWalFile`. */
export async function storeSealedFile(
  { name, digest, key, sealed }: SealedObject & { readonly name: ArchiveFileName },
  place: ArchivePlace,
  context: RunContext,
): Promise<StoredWalFile> {
  const answer = await place.repository.store.putIfAbsent(key, sealed, context)
  if (answer === 'exists') await readBack({ place, object: { name, digest, part: 0 } }, context)
  return { digest, answer }
}

/**
 * Stores a history file, or a large file in parts, under its content-addressed name; when it resolves, the content is durable there and complete. Storing
 * it again is right at any time, also after a crash in the middle and while others store it. Never overwrites: another
 * content of the same name lands beside it. Throws `damaged` when what is stored already cannot be read back.
 */
export async function storeWalFile(
  request: StoreRequest,
  place: ArchivePlace,
  context: RunContext,
): Promise<StoredWalFile> {
  const { source, name } = request
  const digest = await digestSource(source, { name, place }, context)
  const naming = { place, object: { name, digest, part: 0 } }
  if (name.kind === 'history') return { digest, answer: await storeHistory(source, naming, context) }
  return { digest, answer: await storeInParts(request, naming, context) }
}

async function digestSource(
  source: WalSource,
  { name, place }: { name: ArchiveFileName; place: ArchivePlace },
  context: RunContext,
): Promise<string> {
  const digest = new ContentDigest(place.repository.keys.namesKey, name.name)
  for (let offset = 0; offset < source.sizeBytes; offset += frameBytes) {
    context.signal.throwIfAborted()
    digest.update(await source.readAt(offset, Math.min(frameBytes, source.sizeBytes - offset)))
  }
  return digest.finish()
}

/** History files are tiny and read often: one frame, and the content is all that it holds. */
async function storeHistory(
  source: WalSource,
  { place, object }: Naming,
  context: RunContext,
): Promise<'created' | 'exists'> {
  const name = { kind: 'history-file', key: walObjectKey(place.cluster.id, object) } as const
  const payload = await source.readAt(0, source.sizeBytes)
  const answer = await writeObject(place.repository, { name, payload }, context)
  if (answer === 'exists') {
    const stored = await readObject(place.repository, name, context)
    if (stored === undefined || !Buffer.from(stored).equals(payload)) throw differentContent(name.key)
  }
  return answer
}

/**
 * The file is read a second time, part by part, and the digest is taken again from the very bytes that are sealed: what
 * was stored is what was named, or nothing is archived (R21).
 */
async function storeInParts(
  request: StoreRequest,
  naming: Naming,
  context: RunContext,
): Promise<'created' | 'exists'> {
  const { source, name } = request
  const digest = new ContentDigest(naming.place.repository.keys.namesKey, name.name)
  const parts: WalPart[] = []
  for (let offset = 0; offset < source.sizeBytes; offset += partBytes) {
    const range = { offset, length: Math.min(partBytes, source.sizeBytes - offset) }
    const part = { place: naming.place, object: { ...naming.object, part: parts.length + 1 } }
    parts.push(await storePart({ request, naming: part, range, digest }, context))
    // Dying here, or anywhere before ".00" is stored, leaves parts that nothing reads; the next attempt uses them.
  }
  if (digest.finish() !== naming.object.digest) {
    throw new OperationError('file-unreadable', `archiving "${source.path}": it changed while it was read`, {
      hint: 'PostgreSQL will offer it again; if this repeats, find out what writes to it.',
    })
  }
  const head = encodeWalObjectHead({ contentBytes: source.sizeBytes, parts })
  const range = { offset: 0, length: 0 }
  const { key, sealed } = await sealRange({ request, naming, head, range }, context)
  const answer = await naming.place.repository.store.putIfAbsent(key, sealed, context)
  if (answer === 'exists') await readBack(naming, context)
  return answer
}

async function storePart(
  { request, naming, range, digest }: PartRange & { readonly digest: ContentDigest },
  context: RunContext,
): Promise<WalPart> {
  const { key, sealed, raw } = await sealRange({ request, naming, range }, context)
  for (const bytes of raw) digest.update(bytes)
  const answer = await naming.place.repository.store.putIfAbsent(key, sealed, context)
  if (answer === 'created') return { sealedBytes: sealed.length, digest: digestOf(sealed) }
  const stored = await readWalPart(naming.place, key, context)
  if (!Buffer.concat(stored.raw).equals(Buffer.concat(raw))) throw differentContent(key)
  return { sealedBytes: stored.sealed.length, digest: digestOf(stored.sealed) }
}

interface PartRange {
  readonly request: StoreRequest
  readonly naming: Naming
  readonly range: { readonly offset: number; readonly length: number }
}

/** One object: the head, if it has one, then the range of the source in frames. */
async function sealRange(
  { request, naming, head, range }: PartRange & { readonly head?: Uint8Array },
  context: RunContext,
): Promise<{ key: string; sealed: Uint8Array; raw: readonly Uint8Array[] }> {
  const key = walObjectKey(naming.place.cluster.id, naming.object)
  const sealer = createObjectSealer({ keys: naming.place.repository.keys.sealing, kind: 'wal-part', key })
  const pieces: Uint8Array[] = [sealer.header]
  if (head !== undefined) pieces.push(...sealer.sealFrame(packPayload(head, 0), range.length === 0))
  const raw: Uint8Array[] = []
  const end = range.offset + range.length
  for (let offset = range.offset; offset < end; offset += frameBytes) {
    context.signal.throwIfAborted()
    const bytes = await request.source.readAt(offset, Math.min(frameBytes, end - offset))
    pieces.push(...sealer.sealFrame(packPayload(bytes, request.compressionLevel), offset + frameBytes >= end))
    raw.push(bytes)
  }
  return { key, sealed: Buffer.concat(pieces), raw }
}

/** Somebody stored it before: "exists" says nothing about the bytes, and the server is about to let go of its own. */
async function readBack({ place, object }: Naming, context: RunContext): Promise<void> {
  const key = walObjectKey(place.cluster.id, object)
  const stored = await readWalObject(place, object, context)
  if (stored === undefined) {
    throw new OperationError('store-failed', `storing "${key}": it was there and has vanished`)
  }
  // Reading to the end is what checks it.
  for await (const _ of stored.chunks) context.signal.throwIfAborted()
}

function differentContent(key: string): OperationError {
  return new OperationError('damaged', `storing "${key}": expected the same content there, found another`, {
    hint: 'Move that object away, so that the file can be archived again.',
  })
}
