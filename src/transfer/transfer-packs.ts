import { extname } from 'node:path'
import { equalBytes } from '../codec/digest.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { WorkerPool } from '../platform/worker-pool.ts'
import type { ManifestHead, PackReference } from '../repository/manifest-head.ts'
import { packKey } from '../repository/object-keys.ts'
import type { Unit } from '../repository/pack-index.ts'
import { PackReader } from '../repository/pack-reader.ts'
import { fetchPackIndex, openAnyPackIndex } from '../repository/read-pack-index.ts'
import type { KnownPacks, PackIdentity } from './known-packs.ts'
import type { TransferPlaces } from './transfer-places.ts'
import type { TransferRequest, TransferResponse, TransferSetup } from './transfer-protocol.ts'

const workerScript = new URL(`./transfer-worker${extname(import.meta.filename)}`, import.meta.url)
const workers = 2
/** Two are sealed anew while others are read and stored. Each holds a pack twice: 22 MiB at most. */
const parallelPacks = 4

export type TransferPool = WorkerPool<TransferRequest, TransferResponse>

/** The threads that seal packs anew. They start when they are needed. */
export function openTransferPool({ from, to }: TransferPlaces, size = workers): TransferPool {
  const workerData: TransferSetup = {
    from: from.repository.keys.sealing,
    to: to.repository.keys.sealing,
    blockHashSeed: to.repository.keys.blockHashSeed,
  }
  return new WorkerPool({ script: workerScript, size, workerData })
}

export interface TransferredPacks {
  /** The packs of the head in their order, as the other repository has them. */
  readonly packs: readonly PackReference[]
  /** Of those that were not there before. */
  readonly storedBytes: number
}

/** What packs are copied with. */
export interface PackTools extends TransferPlaces {
  readonly pool: TransferPool
  readonly known: KnownPacks
}

/**
 * Copies the packs that a manifest refers to and the other repository lacks. One that is there, and not known to be the same, is
 * compared. Throws `damaged` when one cannot be read here, and `repositories-differ` when another one is there under its key.
 */
export async function transferPacks(
  head: ManifestHead,
  tools: PackTools,
  context: RunContext,
): Promise<TransferredPacks> {
  const ending = new AbortController()
  const signal = AbortSignal.any([context.signal, ending.signal])
  const older = head.packs.filter(({ label }) => label !== head.backup.label)
  await tools.known.learn(older, tools, context)
  const packs: PackReference[] = []
  let storedBytes = 0
  let done = 0
  const queue = head.packs.entries()
  const copyNext = async (): Promise<void> => {
    for (const [index, reference] of queue) {
      const known = tools.known.get(reference)
      const copied =
        known === undefined
          ? await transferPack(reference, tools, { ...context, signal })
          : { ...known, storedBytes: 0 }
      packs[index] = { ...reference, indexTag: copied.indexTag, sizeBytes: copied.sizeBytes }
      storedBytes += copied.storedBytes
      done += 1
      context.report({ kind: 'progress', phase: 'packs', done, total: head.packs.length, unit: 'files' })
    }
  }
  const lanes = Array.from({ length: parallelPacks }, () =>
    copyNext().catch((error: unknown) => {
      ending.abort(error) // the others end with this very error
      throw error
    }),
  )
  const results = await Promise.allSettled(lanes)
  for (const result of results) if (result.status === 'rejected') throw result.reason
  tools.known.add(head, packs)
  return { packs, storedBytes }
}

/** As the other repository has it. Its index has other hashes, which may be longer or shorter when they are compressed. */
interface CopiedPack extends PackIdentity {
  readonly storedBytes: number
}

async function transferPack(
  reference: PackReference,
  tools: PackTools,
  context: RunContext,
): Promise<CopiedPack> {
  const { repository, cluster } = tools.to
  const toKey = packKey(cluster.id, reference)
  const isThere = (await repository.store.head(toKey, context)) !== undefined
  const made = await resealForTarget(reference, tools, context)
  if (!isThere && (await repository.store.putIfAbsent(toKey, made.bytes, context)) === 'created') {
    return { ...storedAs(made), storedBytes: made.bytes.length }
  }
  return compareThere({ reference, made }, tools, context)
}

/** The pack for the other repository, not stored yet. Throws `damaged` when it is missing or cannot be read. */
export async function resealForTarget(
  reference: PackReference,
  { from, to, pool }: TransferPlaces & { readonly pool: TransferPool },
  context: RunContext,
): Promise<TransferResponse> {
  const [fromKey, toKey] = [packKey(from.cluster.id, reference), packKey(to.cluster.id, reference)]
  const bytes = await from.repository.store.get(fromKey, undefined, context)
  if (bytes === undefined) throw new OperationError('damaged', `reading pack "${fromKey}": it is missing`)
  const made = await pool.run({ bytes, fromKey, toKey }, { transfer: [bytes.buffer], signal: context.signal })
  if (equalBytes(made.sourceTag, reference.indexTag)) return made
  throw new OperationError('damaged', `reading pack "${fromKey}": it is not the pack that the backup means`)
}

/** How the manifests of the other repository mean it. */
export const storedAs = ({ indexTag, bytes }: TransferResponse): PackIdentity => ({
  indexTag,
  sizeBytes: bytes.length,
})

/**
 * A pack that is there already, and of which nobody knows: mostly from a copying that was killed. It is the same when all its
 * units hold the same pieces of the same files with the same block hashes, in frames of the same length.
 */
async function compareThere(
  { reference, made }: { readonly reference: PackReference; readonly made: TransferResponse },
  { from, to }: TransferPlaces,
  context: RunContext,
): Promise<CopiedPack> {
  const toKey = packKey(to.cluster.id, reference)
  const attributes = await to.repository.store.head(toKey, context)
  if (attributes === undefined) {
    throw new OperationError('busy', `copying pack "${toKey}": it was there and has vanished`)
  }
  const { sizeBytes } = attributes
  const sealed = await fetchPackIndex(
    to.repository,
    { clusterId: to.cluster.id, reference: { ...reference, sizeBytes } },
    context,
  )
  const keys = to.repository.keys.sealing
  const there = openAnyPackIndex(sealed, keys)
  const { units } = new PackReader(made.bytes, { keys, key: toKey })
  if (isSameContent(units, there.units)) return { indexTag: there.indexTag, sizeBytes, storedBytes: 0 }
  throw new OperationError(
    'repositories-differ',
    `copying pack "${packKey(from.cluster.id, reference)}": "${to.repository.store.location}" has another one of backup ${reference.label}`,
    {
      hint: 'Two backups have the same label there and here: delete the one there, sweep that repository, then copy again.',
    },
  )
}

function isSameContent(some: readonly Unit[], others: readonly Unit[]): boolean {
  if (some.length !== others.length) return false
  return some.every((unit, index) => {
    const other = others[index]
    if (other?.frameLength !== unit.frameLength || other.pieces.length !== unit.pieces.length) return false
    return unit.pieces.every((piece, at) => {
      const twin = other.pieces[at]
      return (
        twin?.root === piece.root &&
        twin.offset === piece.offset &&
        twin.length === piece.length &&
        equalBytes(twin.path, piece.path) &&
        twin.blockHashes.every((hash, block) => hash === piece.blockHashes[block])
      )
    })
  })
}
