import assert from 'node:assert/strict'
import { extname } from 'node:path'
import { availableParallelism } from 'node:os'
import type { BackupLabel } from '../domain/backup-label.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { allocatePages } from '../platform/page-memory.ts'
import { WorkerPool } from '../platform/worker-pool.ts'
import { packKey } from '../repository/object-keys.ts'
import type { Repository } from '../repository/open-repository.ts'
import { packBufferBytes } from '../repository/pack-writer.ts'
import { CopiedFiles } from './copied-files.ts'
import type {
  AuditBounds,
  BuiltPack,
  CopyRequest,
  CopyResponse,
  CopyWorkerSetup,
  SuspectPage,
  UnexpectedBlock,
} from './copy-protocol.ts'
import type { CopyTask } from './copy-task.ts'
import { RateLimit } from './rate-limit.ts'
import type { Scan } from './scan.ts'

export interface CopyOptions {
  readonly clusterId: string
  readonly label: BackupLabel
  /** Undefined: as many as the machine has processors. */
  readonly workers: number | undefined
  readonly compressionLevel: number
  /** Bytes read per second; undefined: no limit. */
  readonly maxRate: number | undefined
  /** Undefined: this is no audit. */
  readonly audit: AuditBounds | undefined
}

/** More are counted, not listed: the first ones tell enough. */
const mostUnexpected = 10_000

/** Of one worker: a store that is far away takes as long for a pack as the worker for several. */
export const buffersPerWorker = 4

const workerScript = new URL(`./copy-worker${extname(import.meta.filename)}`, import.meta.url)

/**
 * Copies files into packs of the repository: workers read, check, compress and seal; this thread only stores what they
 * built, some packs of a worker while it builds the next. Memory is bounded by the buffers of a worker.
 */
export class FileCopier implements AsyncDisposable {
  readonly copied: CopiedFiles
  readonly suspects: SuspectPage[] = []
  /** Of an audit: some of the blocks that are to be judged, and how many there are. */
  readonly unexpected: UnexpectedBlock[] = []
  unexpectedCount = 0
  storedBytes = 0
  readonly #repository: Repository
  readonly #options: CopyOptions
  readonly #context: RunContext
  readonly #lanes: readonly Lane[]
  readonly #rate: RateLimit
  /** Ends what is under way when this is disposed of, or when one lane fails. */
  readonly #ending = new AbortController()

  constructor({ repository, scan, options }: Copying, context: RunContext) {
    this.#repository = repository
    this.#options = options
    this.#context = context
    this.#rate = new RateLimit(options.maxRate, context.clock)
    this.copied = new CopiedFiles(options.label)
    const count = options.workers ?? availableParallelism()
    const lastPack = sharedCells(1)
    this.#lanes = Array.from({ length: count }, () => openLane({ repository, scan, options }, lastPack))
  }

  /** Runs the tasks on all workers. `report` is told of every task's bytes. When one fails, all stop. */
  async run(
    tasks: Iterator<CopyTask> | AsyncIterator<CopyTask>,
    report: (bytes: number) => void,
  ): Promise<void> {
    const signal = AbortSignal.any([this.#context.signal, this.#ending.signal])
    const runLane = async (lane: Lane): Promise<void> => {
      for (let next = await tasks.next(); next.done !== true; next = await tasks.next()) {
        await this.#rate.take(next.value.bytes, signal)
        await this.#copy(lane, next.value, signal)
        report(next.value.bytes)
      }
    }
    const work = this.#lanes.map(async (lane) => {
      try {
        await runLane(lane)
      } catch (error) {
        this.#ending.abort(error) // the other lanes end with this very error
        throw error
      }
    })
    await throwAfterAll(work)
  }

  /** Finishes and stores the packs that are still being built. Nothing can be copied after that. */
  async finish(): Promise<void> {
    await throwAfterAll(
      this.#lanes.map(async (lane) => {
        this.#take(lane, await lane.pool.run({ kind: 'finish' }, this.#context))
        await throwAfterAll([...lane.storing])
      }),
    )
  }

  /** When it resolves, nothing is read or stored any more: what was stored can be discarded for good. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort(new OperationError('cancelled', 'the copying was given up'))
    await Promise.all(this.#lanes.map(({ pool }) => pool[Symbol.asyncDispose]()))
    await Promise.allSettled(this.#lanes.flatMap(({ storing }) => [...storing]))
  }

  async #copy(lane: Lane, task: CopyTask, signal: AbortSignal): Promise<void> {
    const response = await lane.pool.run({ kind: 'copy', task }, { signal })
    this.#take(lane, response)
  }

  #take(lane: Lane, response: CopyResponse): void {
    this.copied.add(response)
    this.suspects.push(...response.suspects)
    this.unexpectedCount += response.unexpectedCount
    if (this.unexpected.length < mostUnexpected) this.unexpected.push(...response.unexpected)
    for (const pack of response.built) {
      const storing = this.#store(lane, pack)
      lane.storing.add(storing)
      // The worker may be waiting for the buffer: nobody else would tell it that it never gets it. What failed stays.
      storing.then(
        () => lane.storing.delete(storing),
        (error: unknown) => this.#ending.abort(error),
      )
    }
  }

  async #store(lane: Lane, pack: BuiltPack): Promise<void> {
    const { clusterId, label } = this.#options
    const key = packKey(clusterId, { label, number: pack.packNumber })
    const buffer = lane.buffers[pack.buffer]
    assert.ok(buffer)
    const bytes = new Uint8Array(buffer, 0, pack.sizeBytes)
    const signal = AbortSignal.any([this.#context.signal, this.#ending.signal])
    if ((await this.#repository.store.putIfAbsent(key, bytes, { signal })) === 'exists') {
      throw new OperationError('busy', `storing a pack of backup ${label}: "${key}" exists already`, {
        hint: 'Another backup took the same label; run the command again.',
      })
    }
    this.copied.addPack(pack)
    this.storedBytes += pack.sizeBytes
    Atomics.store(lane.occupied, pack.buffer, 0)
    Atomics.add(lane.freed, 0, 1)
    Atomics.notify(lane.freed, 0)
  }
}

/** One worker with its buffers, from which the store can write past the page cache. */
interface Lane extends Pick<CopyWorkerSetup, 'buffers' | 'occupied' | 'freed'> {
  readonly pool: WorkerPool<CopyRequest, CopyResponse>
  /** Packs that are being stored, and those that failed. */
  readonly storing: Set<Promise<void>>
}

interface Copying {
  readonly repository: Repository
  readonly scan: Scan
  readonly options: CopyOptions
}

function openLane({ repository, scan, options }: Copying, lastPack: CopyWorkerSetup['lastPack']): Lane {
  const buffers = Array.from({ length: buffersPerWorker }, () => allocatePages(packBufferBytes))
  const occupied = sharedCells(buffers.length)
  const freed = sharedCells(1)
  const workerData: CopyWorkerSetup = {
    clusterId: options.clusterId,
    label: options.label,
    compressionLevel: options.compressionLevel,
    keys: repository.keys.sealing,
    blockHashSeed: repository.keys.blockHashSeed,
    rootPaths: scan.rootPaths,
    buffers,
    occupied,
    freed,
    lastPack,
    audit: options.audit,
  }
  const pool = new WorkerPool<CopyRequest, CopyResponse>({ script: workerScript, size: 1, workerData })
  return { pool, buffers, occupied, freed, storing: new Set() }
}

const sharedCells = (count: number): Int32Array<SharedArrayBuffer> =>
  new Int32Array(new SharedArrayBuffer(count * Int32Array.BYTES_PER_ELEMENT))

/** Waits for all, so that nothing runs on behind an error; then throws the first lane's. */
async function throwAfterAll(work: readonly Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(work)
  for (const result of results) if (result.status === 'rejected') throw result.reason
}
