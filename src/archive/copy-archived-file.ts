import assert from 'node:assert/strict'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { readObject } from '../repository/sealed-store.ts'
import type { ArchivePlace } from './archive-place.ts'
import { openArchivedSource } from './archived-source.ts'
import { ContentDigest } from './content-digest.ts'
import { sealContent } from './seal-whole-file.ts'
import { addIndexes } from './seal-wal-index.ts'
import { warnOfLostIndex } from './stored-wal-index.ts'
import { storeSealedFile, storeWalFile } from './store-wal-file.ts'
import { frameBytes } from './wal-object-head.ts'
import { walObjectKey, type WalObject } from './wal-object-key.ts'
import { wholeFileBytes, type WalSource } from './wal-source.ts'

/** zstd level, as `archive-push` has it. */
const compressionLevel = 1

interface CopyPlaces {
  readonly from: ArchivePlace
  readonly to: ArchivePlace
}

/**
 * Archives one content of one name in another repository, with an index of what a segment holds, and gives its size. It is
 * proven against its digest before it is stored, and its digest there is made of the same bytes. Right to repeat. Throws
 * `damaged` when it cannot be read.
 */
export async function copyArchivedFile(
  object: WalObject,
  { from, to }: CopyPlaces,
  context: RunContext,
): Promise<number> {
  const { name } = object
  if (name.kind === 'history') {
    const source = memorySource(await readHistory(object, from, context), object)
    await storeWalFile({ source, name, compressionLevel }, to, context)
    return source.sizeBytes
  }
  await using source = await openArchivedSource(object, from, context)
  if (source.sizeBytes > wholeFileBytes) await storeWalFile({ source, name, compressionLevel }, to, context)
  else await storeWhole(await gather(source), object, { place: to, context })
  return source.sizeBytes
}

/**
 * Reads an archived file to its end, which proves it, and gives the digest that a repository with this key would name it by.
 * Throws `damaged`.
 */
export async function digestArchivedFile(
  object: WalObject,
  { place, namesKey }: { readonly place: ArchivePlace; readonly namesKey: Uint8Array },
  context: RunContext,
): Promise<string> {
  const digest = new ContentDigest(namesKey, object.name.name)
  if (object.name.kind === 'history') {
    digest.update(await readHistory(object, place, context))
    return digest.finish()
  }
  await using source = await openArchivedSource(object, place, context)
  for (let offset = 0; offset < source.sizeBytes; offset += frameBytes) {
    digest.update(await source.readAt(offset, Math.min(frameBytes, source.sizeBytes - offset)))
  }
  return digest.finish()
}

async function readHistory(object: WalObject, from: ArchivePlace, context: RunContext): Promise<Uint8Array> {
  const key = walObjectKey(from.cluster.id, object)
  const content = await readObject(from.repository, { kind: 'history-file', key }, context)
  if (content === undefined) throw new OperationError('damaged', `reading "${key}": it is missing`)
  const digest = new ContentDigest(from.repository.keys.namesKey, object.name.name)
  digest.update(content)
  if (digest.finish() === object.digest) return content
  throw new OperationError('damaged', `reading "${key}": its content is not the one that its name says`)
}

async function gather(source: WalSource): Promise<Uint8Array> {
  const bytes = Buffer.allocUnsafeSlow(source.sizeBytes)
  for (let offset = 0; offset < bytes.length; offset += frameBytes) {
    bytes.set(await source.readAt(offset, Math.min(frameBytes, bytes.length - offset)), offset)
  }
  return bytes
}

/** As `archive-push` does with a file: the content first, then its index, which nothing depends on. */
async function storeWhole(
  content: Uint8Array,
  { name }: WalObject,
  { place, context }: { readonly place: ArchivePlace; readonly context: RunContext },
): Promise<void> {
  const { repository, cluster } = place
  const { namesKey, sealing } = repository.keys
  const request = {
    fileName: name.name,
    compressionLevel,
    places: [{ clusterId: cluster.id, namesKey, sealing }],
  }
  const sealed = addIndexes<IndexedContent>({ objects: sealContent(content, request) }, content, request)
  const [object] = sealed.objects
  assert.ok(object)
  await storeSealedFile({ name, ...object }, place, context)
  if (sealed.indexProblem !== undefined) warnOfLostIndex(name.name, sealed.indexProblem, context)
  if (object.index === undefined) return
  await repository.store.putIfAbsent(object.index.key, object.index.sealed, context)
}

interface IndexedContent {
  readonly objects: ReturnType<typeof sealContent>
  readonly indexProblem?: string
}

function memorySource(content: Uint8Array, { name }: WalObject): WalSource {
  return {
    path: name.name,
    sizeBytes: content.length,
    modifiedAtNs: 0n,
    readAt: (offset, length) => Promise.resolve(content.subarray(offset, offset + length)),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
}
