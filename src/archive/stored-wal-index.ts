import { openSingle, sealSingle, type SealingKeys } from '../codec/sealed-object.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { parseSegmentName } from '../domain/wal-segment.ts'
import type { ClusterRecord } from '../repository/cluster-record.ts'
import type { SegmentContents } from '../wal/segment-contents.ts'
import type { ArchivePlace } from './archive-place.ts'
import { isAboutObject } from './object-trouble.ts'
import { decodeWalIndex, encodeWalIndex, mostIndexBytes, type DecodeOptions } from './wal-index.ts'
import { walIndexKey, type WalIndexName } from './wal-index-key.ts'

/** zstd level: 3 makes an index a tenth shorter, in three times the time. */
const compressionLevel = 1

/** Whose index it is. */
interface IndexOwner {
  readonly cluster: Pick<ClusterRecord, 'id' | 'walSegmentSize' | 'systemIdentifier' | 'major'>
  readonly keys: SealingKeys
}

/**
 * What the stored index of a content tells; undefined when there is none that can be used: the segment tells the same, so
 * damage is only warned of, unless it is in changes that are read late.
 */
export async function readWalIndex(
  { isChangesOnly, areChangesLate, ...indexName }: WalIndexName & DecodeOptions,
  { repository, cluster }: ArchivePlace,
  context: RunContext,
): Promise<SegmentContents | undefined> {
  const key = walIndexKey(cluster.id, indexName)
  try {
    const sealed = await repository.store.get(key, undefined, context)
    if (sealed === undefined) return undefined
    const owner = { cluster, keys: repository.keys.sealing }
    return openWalIndex({ ...indexName, sealed, isChangesOnly, areChangesLate }, owner)
  } catch (error) {
    if (!isAboutObject(error)) throw error
    context.report({
      kind: 'warning',
      message: `an index of WAL cannot be used, and its segment is read instead: ${error.message}`,
      hint: `Delete the object "${key}": it is made anew when it is wanted.`,
    })
    return undefined
  }
}

/** Throws `damaged`, also when it is the index of something else than its name says, and `format-newer`. */
export function openWalIndex(
  {
    sealed,
    isChangesOnly,
    areChangesLate,
    ...indexName
  }: WalIndexName & DecodeOptions & { readonly sealed: Uint8Array },
  { cluster, keys }: IndexOwner,
): SegmentContents {
  const key = walIndexKey(cluster.id, indexName)
  const raw = openSingle(sealed, { keys, kind: 'wal-index', key }, mostIndexBytes(cluster.walSegmentSize))
  const contents = decodeWalIndex(raw, key, { isChangesOnly, areChangesLate })
  const { startLsn } = parseSegmentName(indexName.name.name, cluster.walSegmentSize)
  const isOwn =
    contents.startLsn === startLsn &&
    contents.segmentSize === cluster.walSegmentSize &&
    contents.systemIdentifier.toString() === cluster.systemIdentifier &&
    contents.major === cluster.major
  if (isOwn) return contents
  throw new OperationError('damaged', `reading the index "${key}": it tells of another segment`)
}

/** The object, ready to be stored; undefined when the format has no room for what the segment holds. */
export function sealWalIndex(
  { contents, ...indexName }: WalIndexName & { readonly contents: SegmentContents },
  { cluster, keys }: { readonly cluster: Pick<ClusterRecord, 'id'>; readonly keys: SealingKeys },
): { readonly key: string; readonly sealed: Uint8Array } | undefined {
  const raw = encodeWalIndex(contents)
  if (raw === undefined) return undefined
  const key = walIndexKey(cluster.id, indexName)
  return { key, sealed: sealSingle(raw, { keys, kind: 'wal-index', key }, compressionLevel) }
}

/** Stores the index of a content if it has none. What goes wrong is warned of: the segment tells the same. */
export async function storeWalIndex(
  index: WalIndexName & { readonly contents: SegmentContents },
  { repository, cluster }: ArchivePlace,
  context: RunContext,
): Promise<void> {
  // The past has room for nothing.
  if (repository.store.asOfMs !== undefined) return
  const object = sealWalIndex(index, { cluster, keys: repository.keys.sealing })
  if (object === undefined) return
  try {
    await repository.store.putIfAbsent(object.key, object.sealed, context)
  } catch (error) {
    if (context.signal.aborted) throw error
    warnOfLostIndex(index.name.name, error, context)
  }
}

export function warnOfLostIndex(segment: string, error: unknown, context: RunContext): void {
  const found = error instanceof Error ? error.message : String(error)
  context.report({
    kind: 'warning',
    message: `the index of segment ${segment} was not stored: ${found}`,
    hint: 'Nothing is lost: the segment is read when an incremental backup wants to know what it changes.',
  })
}
