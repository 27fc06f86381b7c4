import { availableParallelism } from 'node:os'
import { extname } from 'node:path'
import { type BytePath, joinBytePath } from '../platform/byte-path.ts'
import type { BackupLabel } from '../domain/backup-label.ts'
import { isOperationError, OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { WorkerPool } from '../platform/worker-pool.ts'
import type { ClusterRecord } from '../repository/cluster-record.ts'
import type { ManifestHead, PackReference } from '../repository/manifest-head.ts'
import { fetchPackIndex } from '../repository/read-pack-index.ts'
import { packKey } from '../repository/object-keys.ts'
import type { Repository } from '../repository/open-repository.ts'
import { controlFilePath } from './check-entry.ts'
import { pendingControlFile } from './restore-marker.ts'
import { groupByPack, runColumns, type Layout } from './layout.ts'
import { Stripes } from './stripes.ts'
import {
  requestColumnCount,
  type UnpackRequest,
  type UnpackResponse,
  type UnpackSetup,
} from './unpack-protocol.ts'

export interface PackWriting {
  readonly repository: Repository
  readonly cluster: ClusterRecord
  readonly head: ManifestHead
  readonly layout: Layout
  /** Where each root goes. */
  readonly rootPaths: ReadonlyMap<number, BytePath>
  readonly isDelta: boolean
  /** Whether each file is synced when all are written. If not, the caller syncs the file systems that they are on. */
  readonly syncsFiles: boolean
  /** Undefined: as many as the machine has processors. */
  readonly workers: number | undefined
  /** Undefined: what is damaged here ends the restore. */
  readonly spares?: SparePackSource | undefined
}

/** A pack of another repository, sealed for this one. */
export interface SparePack {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly indexTag: Uint8Array
  /** Where it is from. */
  readonly location: string
}

interface WantedPack {
  readonly head: ManifestHead
  readonly reference: PackReference
}

/** Other repositories of the cluster, for packs that are damaged or missing here. */
export interface SparePackSource {
  /** Whether another one should have it, by its manifest. */
  has(wanted: WantedPack, context: RunContext): Promise<boolean>
  /** Undefined: no other one has it whole. */
  find(wanted: WantedPack, context: RunContext): Promise<SparePack | undefined>
}

export interface WrittenBytes {
  /** Found right by their hashes, or not. 0 without `isDelta`. */
  readonly comparedBytes: number
  readonly writtenBytes: number
}

const workerScript = new URL(`./unpack-worker${extname(import.meta.filename)}`, import.meta.url)
const pathsPerSync = 256
const zeroRunsPerRequest = 4096

/**
 * Fills the files of a restore, which exist with their sizes, and may sync them. Each pack is fetched once;
 * there are never more packs in memory than two for each worker.
 */
export async function writePacks(writing: PackWriting, context: RunContext): Promise<WrittenBytes> {
  const { repository, layout, isDelta } = writing
  const size = writing.workers ?? availableParallelism()
  const setup: UnpackSetup = {
    keys: repository.keys.sealing,
    blockHashSeed: repository.keys.blockHashSeed,
    isDelta,
  }
  await using opened = new AsyncDisposableStack()
  const pools = Array.from({ length: size }, () =>
    opened.use(
      new WorkerPool<UnpackRequest, UnpackResponse>({ script: workerScript, size: 1, workerData: setup }),
    ),
  )
  const totals = { comparedBytes: 0, writtenBytes: 0 }
  const add = ({ comparedBytes, writtenBytes }: WrittenBytes): void => {
    totals.comparedBytes += comparedBytes
    totals.writtenBytes += writtenBytes
  }
  const { signal } = context
  // Two packs for each worker: one is read while another is unpacked.
  await forAll(
    { tasks: packTasks(writing, pools, context.report).flatMap((tasks) => [tasks, tasks]), signal },
    async (task) => {
      add(await unpack(task, writing, context))
      task.finished()
    },
  )
  const run = async ({ request, pool }: { request: UnpackRequest; pool: Pool }): Promise<void> =>
    add(await pool.run(request, { signal }))
  if (isDelta) await forAll({ tasks: shared(zeroRequests(writing), pools), signal }, run)
  if (!writing.syncsFiles) return totals
  context.report({ kind: 'note', message: `syncing ${layout.files.count} files` })
  await forAll({ tasks: shared(syncRequests(writing), pools), signal }, run)
  return totals
}

/** Of one thread. */
type Pool = WorkerPool<UnpackRequest, UnpackResponse>

/** The same requests for each pool, so that each is taken by whichever is free. */
function shared(
  requests: Generator<UnpackRequest>,
  pools: readonly Pool[],
): readonly Iterator<{ request: UnpackRequest; pool: Pool }>[] {
  const nextFor = (pool: Pool): IteratorResult<{ request: UnpackRequest; pool: Pool }> => {
    const next = requests.next()
    return next.done === true ? next : { value: { request: next.value, pool } }
  }
  return pools.map((pool) => ({ next: () => nextFor(pool) }))
}

interface PackTask {
  readonly reference: PackReference
  readonly rows: Uint32Array
  readonly pool: Pool
  /** To be called when it is done: reports how far the work has come. */
  readonly finished: () => void
}

/** For each pool, in its order. */
function packTasks(
  { head, layout }: PackWriting,
  pools: readonly Pool[],
  report: RunContext['report'],
): readonly Generator<PackTask>[] {
  let done = 0
  const groups = groupByPack(layout.runs, head.packs.length)
  const stripes = new Stripes(groups.length, pools.length)
  return pools.map(function* (pool, at): Generator<PackTask> {
    for (let index = stripes.next(at); index !== undefined; index = stripes.next(at)) {
      const [reference, rows = new Uint32Array()] = [head.packs[index], groups[index]]
      if (reference === undefined || rows.length === 0) continue
      const bytes = rows.reduce((sum, row) => sum + layout.runs.get(row, runColumns.length), 0)
      const finished = (): void => {
        done += bytes
        report({ kind: 'progress', phase: 'restoring', done, total: layout.packedBytes, unit: 'bytes' })
      }
      yield { reference, rows, pool, finished }
    }
  })
}

/** A pack that cannot be read here is taken from another repository, if one has it. */
async function unpack(task: PackTask, writing: PackWriting, context: RunContext): Promise<WrittenBytes> {
  try {
    return await unpackOwn(task, writing, context)
  } catch (error) {
    if (!isOperationError(error, 'damaged')) throw error
    const { reference, rows, pool } = task
    const spare = await writing.spares?.find({ head: writing.head, reference }, context)
    if (spare === undefined) throw error
    const { bytes, indexTag, location } = spare
    context.report({
      kind: 'warning',
      message: `${error.message}; taken from "${location}" instead`,
      hint: 'Run "holdfast verify", then "holdfast repo copy --repair" to replace it.',
    })
    const { paths, runs } = selectRuns(writing, rows)
    const key = packKey(writing.cluster.id, reference)
    const request = { kind: 'pack', key, indexTag, pack: bytes, paths, runs } as const
    return pool.run(request, { ...context, transfer: [bytes.buffer, runs.buffer] })
  }
}

/** With a delta, a pack is fetched only when its index says that a file lacks something of it. */
async function unpackOwn(task: PackTask, writing: PackWriting, context: RunContext): Promise<WrittenBytes> {
  const { repository, cluster, head } = writing
  const { reference, rows, pool } = task
  const { paths, runs } = selectRuns(writing, rows)
  const { indexTag } = reference
  const run = (request: UnpackRequest, transfer: readonly ArrayBuffer[]): Promise<UnpackResponse> =>
    namingFiles({ head, paths }, () => pool.run(request, { ...context, transfer }))
  if (writing.isDelta) {
    const index = await namingFiles({ head, paths }, () =>
      fetchPackIndex(repository, { clusterId: cluster.id, reference }, context),
    )
    const compared = await run({ kind: 'compare', indexTag, index, paths, runs }, [])
    if (!compared.isDifferent) return compared
  }
  const key = packKey(cluster.id, reference)
  const pack = await repository.store.get(key, undefined, context)
  if (pack === undefined) throw packMissing(key, head.backup.label)
  return run({ kind: 'pack', key, indexTag, pack, paths, runs }, [pack.buffer, runs.buffer])
}

/** What is damaged costs files: they are named. */
async function namingFiles<T>(
  { head, paths }: { readonly head: ManifestHead; readonly paths: readonly BytePath[] },
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    if (!isOperationError(cause, 'damaged')) throw cause
    throw new OperationError(
      'damaged',
      `restoring backup ${head.backup.label}: ${cause.message}; it holds ${describeFiles(paths)}`,
      {
        cause,
        hint: 'The directory cannot be started as it is. Restore from another backup or repository, and take a new backup.',
      },
    )
  }
}

export function packMissing(key: string, label: BackupLabel): OperationError {
  return new OperationError(
    'damaged',
    `restoring backup ${label}: its pack "${key}" is missing or has another size`,
    {
      hint: 'Restore from another backup or repository, and take a new backup.',
    },
  )
}

/** The rows of one pack as a worker takes them: by unit, so that each is opened once. */
function selectRuns(
  writing: PackWriting,
  rows: Uint32Array,
): { paths: readonly BytePath[]; runs: Float64Array<ArrayBuffer> } {
  const { runs, files } = writing.layout
  const cell = (row: number, column: number): number => runs.get(row, column)
  const ordered = rows.toSorted((one, other) => {
    const units = cell(one, runColumns.unit) - cell(other, runColumns.unit)
    return units === 0 ? cell(one, runColumns.unitOffset) - cell(other, runColumns.unitOffset) : units
  })
  const indexes = new Map<number, number>()
  const paths: BytePath[] = []
  const selected = new Float64Array(ordered.length * requestColumnCount)
  for (const [at, row] of ordered.entries()) {
    const file = cell(row, runColumns.file)
    let index = indexes.get(file)
    if (index === undefined) {
      index = paths.push(placeOf(writing, { root: files.root(file), path: files.path(file) })) - 1
      indexes.set(file, index)
    }
    const { unit, unitOffset, length, fileOffset } = runColumns
    selected.set(
      [cell(row, unit), cell(row, unitOffset), cell(row, length), index, cell(row, fileOffset)],
      at * requestColumnCount,
    )
  }
  return { paths, runs: selected }
}

/** Where an entry goes. */
export function placeOf(
  { rootPaths }: Pick<PackWriting, 'rootPaths'>,
  { root, path }: { readonly root: number; readonly path: BytePath },
): BytePath {
  const folder = rootPaths.get(root)
  if (folder === undefined) throw new Error(`root ${root} has no place`)
  return joinBytePath(folder, root === 0 && path === controlFilePath ? pendingControlFile : path)
}

function* zeroRequests(writing: PackWriting): Generator<UnpackRequest> {
  const { zeros, files } = writing.layout
  for (let first = 0; first < zeros.count; first += zeroRunsPerRequest) {
    const count = Math.min(zeroRunsPerRequest, zeros.count - first)
    const paths: BytePath[] = []
    const runs = new Float64Array(count * 3)
    for (let index = 0; index < count; index += 1) {
      const file = zeros.get(first + index, 0)
      paths.push(placeOf(writing, { root: files.root(file), path: files.path(file) }))
      runs.set([index, zeros.get(first + index, 1), zeros.get(first + index, 2)], index * 3)
    }
    yield { kind: 'zeros', paths, runs }
  }
}

function* syncRequests(writing: PackWriting): Generator<UnpackRequest> {
  const { files } = writing.layout
  for (let first = 0; first < files.count; first += pathsPerSync) {
    const indexes = Array.from(
      { length: Math.min(pathsPerSync, files.count - first) },
      (_, index) => first + index,
    )
    yield {
      kind: 'sync',
      paths: indexes.map((file) => placeOf(writing, { root: files.root(file), path: files.path(file) })),
    }
  }
}

/** Works off the tasks of each lane, one at a time. After a failure no task is begun; the first one is thrown when all have ended. */
async function forAll<Task>(
  { tasks, signal }: { readonly tasks: readonly Iterator<Task>[]; readonly signal: AbortSignal },
  work: (task: Task) => Promise<void>,
): Promise<void> {
  let failure: { readonly error: unknown } | undefined
  const workOff = async (lane: Iterator<Task>): Promise<void> => {
    while (failure === undefined) {
      const next = lane.next()
      if (next.done === true) return
      try {
        signal.throwIfAborted()
        await work(next.value)
      } catch (error) {
        failure ??= { error }
      }
    }
  }
  await Promise.all(tasks.map(workOff))
  if (failure !== undefined) throw failure.error
}

function describeFiles(paths: readonly BytePath[]): string {
  const [first = ''] = paths
  const shown = Buffer.from(first, 'latin1').toString('utf8')
  return paths.length === 1
    ? JSON.stringify(shown)
    : `${JSON.stringify(shown)} and ${paths.length - 1} other files`
}
