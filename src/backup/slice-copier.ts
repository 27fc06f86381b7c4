import assert from 'node:assert/strict'
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { fromBytePath, showBytePath, toBytePath } from '../platform/byte-path.ts'
import { describeSystemError, isSystemError } from '../platform/durable-file.ts'
import { createPageKernel, type PageKernel } from '../codec/page-kernel.ts'
import { OperationError } from '../domain/operation-error.ts'
import { packKey } from '../repository/object-keys.ts'
import { hashCountOf, hashedBlockSize, type Piece } from '../repository/pack-index.ts'
import { largestUnitBytes, packBufferBytes, PackWriter } from '../repository/pack-writer.ts'
import type {
  BuiltPack,
  CopyRequest,
  CopyResponse,
  CopyWorkerSetup,
  StoredRun,
  SuspectPage,
} from './copy-protocol.ts'
import type { Slice } from './copy-task.ts'

interface OpenedFile {
  readonly fd: number
  /** For messages. */
  readonly place: Buffer
}

interface PendingRun {
  readonly file: number
  readonly piece: Piece
  readonly unitOffset: number
}

interface Answer {
  readonly runs: StoredRun[]
  readonly suspects: SuspectPage[]
  readonly resized: { file: number; sizeBytes: number }[]
  readonly vanished: number[]
  readonly built: BuiltPack[]
  readonly cut: number[]
  readonly growthLeft: { small: number; large: number }
}

/** Bounds what a unit adds to the index of its pack: 256 paths have at most 1 MiB. */
const mostPieces = 256
/** A file that has grown by less was replaced, or is a log like another: it is always read to its end. */
const smallGrowthBytes = 64 * 1024
/** What files may have grown in one task, by little and by much: what is written all the time must not be read for ever. */
const mostGrowthBytes = { small: 512 * 1024, large: 512 * 1024 } as const

const zeros = Buffer.alloc(largestUnitBytes)

/**
 * The work of one copy worker: reads slices into one unit's worth of memory, checks and hashes the pages where they
 * lie, and appends the unit to the pack that is being built. Small files share a unit. Only a pack that is still being
 * stored is waited for: the worker has nothing else to do.
 */
export class SliceCopier {
  readonly #setup: CopyWorkerSetup
  readonly #kernel: PageKernel
  #pending: PendingRun[] = []
  #filled = 0
  #pack: { writer: PackWriter; number: number } | undefined
  #buffer: 0 | 1 = 0

  constructor(setup: CopyWorkerSetup) {
    this.#setup = setup
    this.#kernel = createPageKernel({ inputBytes: largestUnitBytes, seed: setup.blockHashSeed })
    assert.ok(setup.buffers.every((buffer) => buffer.byteLength >= packBufferBytes))
  }

  answer(request: CopyRequest): CopyResponse {
    const answer: Answer = {
      runs: [],
      suspects: [],
      resized: [],
      vanished: [],
      built: [],
      cut: [],
      growthLeft: { ...mostGrowthBytes },
    }
    switch (request.kind) {
      case 'copy':
        for (const slice of request.task.slices) this.#copySlice(slice, answer)
        this.#closeUnit(answer)
        break
      case 'finish':
        if (this.#pack !== undefined) this.#closePack(answer)
    }
    const { growthLeft: _unused, ...response } = answer
    return response
  }

  #copySlice(slice: Slice, answer: Answer): void {
    if (slice.content !== undefined) {
      this.#takeContent(slice, slice.content, answer)
      return
    }
    const place = Buffer.concat([
      fromBytePath(this.#setup.rootPaths.get(slice.root) ?? ''),
      fromBytePath(`/${slice.path}`),
    ])
    const fd = openForReading(place, slice.isFollowed)
    if (fd === undefined) {
      answer.vanished.push(slice.file)
      return
    }
    try {
      const stretched = slice.readsToEnd ? stretchToEnd(fd, slice, { place, answer }) : slice
      this.#readSlice({ fd, place }, stretched, answer)
    } finally {
      closeSync(fd)
    }
  }

  #readSlice(file: OpenedFile, slice: Slice, answer: Answer): void {
    for (let done = 0; done < slice.length;) {
      const wanted = Math.min(slice.length - done, largestUnitBytes)
      if (wanted > largestUnitBytes - this.#filled) this.#closeUnit(answer)
      const target = this.#kernel.input.subarray(this.#filled, this.#filled + wanted)
      const length = readFully(file, target, slice.offset + done)
      if (length > 0) this.#takeRun({ ...slice, offset: slice.offset + done, length }, answer)
      if (length < wanted) {
        // The file was truncated meanwhile: its true length is stored (R8), the WAL tells the rest.
        answer.resized.push({ file: slice.file, sizeBytes: slice.offset + done + length })
        return
      }
      done += wanted
    }
  }

  #takeContent(slice: Slice, content: Uint8Array, answer: Answer): void {
    if (content.length > largestUnitBytes - this.#filled) this.#closeUnit(answer)
    this.#kernel.input.set(content, this.#filled)
    this.#takeRun({ ...slice, offset: 0, length: content.length }, answer)
  }

  /** Takes what was just read behind the filled part of the input. */
  #takeRun(slice: Slice, answer: Answer): void {
    const { file, offset, length } = slice
    const bytes = this.#kernel.input.subarray(this.#filled, this.#filled + length)
    if (zeros.subarray(0, length).equals(bytes)) {
      answer.runs.push({ file, offset, length, packNumber: 0, unit: 0, unitOffset: 0 })
      return
    }
    const blockHashes = new BigUint64Array(hashCountOf(length))
    this.#kernel.hashBlocks({ offset: this.#filled, length }, blockHashes)
    if (slice.firstBlock !== undefined) this.#checkPages(slice, blockHashes, answer)
    const piece = { root: slice.root, path: fromBytePath(slice.path), offset, length, blockHashes }
    this.#pending.push({ file, piece, unitOffset: this.#filled })
    this.#filled += length
    if (this.#pending.length >= mostPieces) this.#closeUnit(answer)
  }

  #checkPages({ file, offset, length, firstBlock = 0 }: Slice, hashes: BigUint64Array, answer: Answer): void {
    const firstInFile = offset / hashedBlockSize
    const bad = this.#kernel.checkPages({ offset: this.#filled, length }, firstBlock + firstInFile)
    for (const index of bad)
      answer.suspects.push({ file, block: firstInFile + index, hash: hashes[index] ?? 0n })
  }

  #closeUnit(answer: Answer): void {
    if (this.#pending.length === 0) return
    const { writer, number } = (this.#pack ??= this.#openPack(answer))
    const pieces = this.#pending.map(({ piece }) => piece)
    const unit = writer.addUnit(this.#kernel.input.subarray(0, this.#filled), pieces)
    for (const { file, piece, unitOffset } of this.#pending) {
      answer.runs.push({
        file,
        offset: piece.offset,
        length: piece.length,
        packNumber: number,
        unit,
        unitOffset,
      })
    }
    this.#pending = []
    this.#filled = 0
    if (writer.isFull) this.#closePack(answer)
  }

  #openPack(answer: Answer): { writer: PackWriter; number: number } {
    const { clusterId, label, keys, compressionLevel, buffers, occupied, lastPack } = this.#setup
    // The main thread hears of a pack when its task ends: a second one in a task would wait for a buffer for ever.
    assert.ok(answer.built.length <= 1, 'a task fills at most one pack and begins at most one')
    while (Atomics.load(occupied, this.#buffer) === 1) Atomics.wait(occupied, this.#buffer, 1)
    const number = Atomics.add(lastPack, 0, 1) + 1
    const key = packKey(clusterId, { label, number })
    const buffer = new Uint8Array(buffers[this.#buffer])
    return { writer: new PackWriter({ buffer, keys, key, compressionLevel }), number }
  }

  #closePack(answer: Answer): void {
    assert.ok(this.#pack)
    const { sizeBytes, indexTag } = this.#pack.writer.finish()
    answer.built.push({ packNumber: this.#pack.number, buffer: this.#buffer, sizeBytes, indexTag })
    Atomics.store(this.#setup.occupied, this.#buffer, 1)
    this.#pack = undefined
    this.#buffer = this.#buffer === 0 ? 1 : 0
  }
}

/**
 * The slice up to where the file ends now; what was replaced meanwhile may be longer than the scan saw (R8). A file that
 * has grown by much is cut when others of its task have too, and that is told; a short one never is.
 */
function stretchToEnd(
  fd: number,
  slice: Slice,
  { place, answer }: { readonly place: Buffer; readonly answer: Answer },
): Slice {
  const planned = slice.offset + slice.length
  const growth = fstatSync(fd).size - planned
  if (growth <= 0) return slice
  const kind = growth <= smallGrowthBytes ? 'small' : 'large'
  const taken = Math.min(growth, answer.growthLeft[kind])
  if (taken < growth && kind === 'small') throw grownFiles(place)
  if (taken < growth) answer.cut.push(slice.file)
  answer.growthLeft[kind] -= taken
  answer.resized.push({ file: slice.file, sizeBytes: planned + taken })
  return { ...slice, length: slice.length + taken }
}

function grownFiles(place: Buffer): OperationError {
  const path = showBytePath(toBytePath(place))
  return new OperationError(
    'backup-interrupted',
    `backing up ${path}: it and many files beside it have grown since the data directory was scanned`,
    { hint: 'Run the backup again.' },
  )
}

/** The file descriptor, or undefined when the file is gone. A FIFO or link put there meanwhile is not followed (R16). */
function openForReading(place: Buffer, isFollowed: boolean): number | undefined {
  const noFollow = isFollowed ? 0 : constants.O_NOFOLLOW
  try {
    return openSync(place, constants.O_RDONLY | constants.O_NONBLOCK | noFollow)
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined
    throw new OperationError(
      'file-unreadable',
      `backing up ${showBytePath(toBytePath(place))}: it cannot be opened`,
      {
        cause,
        hint: 'The backup must be able to read everything in the data directory; run it as the user that owns it.',
      },
    )
  }
}

/** Reads until the target is full or the file ends; gives how much there was. */
function readFully({ fd, place }: OpenedFile, target: Uint8Array, position: number): number {
  let done = 0
  while (done < target.length) {
    const count = readAt({ fd, place }, target.subarray(done), position + done)
    if (count === 0) break
    done += count
  }
  return done
}

function readAt({ fd, place }: OpenedFile, target: Uint8Array, position: number): number {
  try {
    return readSync(fd, target, 0, target.length, position)
  } catch (cause) {
    if (!isSystemError(cause)) throw cause
    throw new OperationError(
      'file-unreadable',
      `backing up ${showBytePath(toBytePath(place))}: reading ${target.length} bytes at offset ${position}: ${describeSystemError(cause)}`,
      {
        cause,
        hint: 'Look for errors of the disk in the log of the system; a backup never takes zeros for what it cannot read.',
      },
    )
  }
}
