import assert from 'node:assert/strict'
import { fstatSync } from 'node:fs'
import { fromBytePath, showBytePath, toBytePath } from '../platform/byte-path.ts'
import { createPageKernel, type PageKernel } from '../codec/page-kernel.ts'
import { OperationError } from '../domain/operation-error.ts'
import { packKey } from '../repository/object-keys.ts'
import { hashCountOf, hashedBlockSize, type Piece } from '../repository/pack-index.ts'
import { largestUnitBytes, packBufferBytes, PackWriter } from '../repository/pack-writer.ts'
import { blockRows, type BlockRow } from './block-rows.ts'
import type {
  BuiltPack,
  CopyRequest,
  CopyResponse,
  CopyWorkerSetup,
  KeptBytes,
  StoredRun,
  SuspectPage,
  UnexpectedBlock,
} from './copy-protocol.ts'
import type { CopyTask, Slice } from './copy-task.ts'
import { readPageLsn } from './page-lsn.ts'
import { readFully, SliceFiles, type OpenedFile } from './slice-file.ts'

interface PendingRun {
  readonly file: number
  readonly piece: Piece
  readonly unitOffset: number
}

/** The pack that is being built, and in which of the buffers. */
interface OpenPack {
  readonly writer: PackWriter
  readonly number: number
  readonly buffer: number
}

/** Of a file. */
interface ByteRun {
  readonly offset: number
  readonly length: number
}

interface HashedRun extends ByteRun {
  readonly hashes: BigUint64Array
}

/** Blocks of a run that was read to `start` in the input and begins at `offset` in the file. */
interface ReadRow extends BlockRow {
  readonly start: number
  readonly offset: number
  readonly hashes: BigUint64Array
}

interface Answer {
  readonly runs: StoredRun[]
  readonly kept: KeptBytes[]
  readonly suspects: SuspectPage[]
  readonly unexpected: UnexpectedBlock[]
  unexpectedCount: number
  readonly resized: { file: number; sizeBytes: number }[]
  readonly vanished: number[]
  readonly built: BuiltPack[]
  readonly cut: number[]
  readonly growthLeft: { small: number; large: number }
}

/** Bounds what a unit adds to the index of its pack: 256 paths have at most 1 MiB. */
const mostPieces = 256
/** Unexpected blocks that one task tells of. Where hint bits change pages silently there may be very many: some are judged. */
const mostUnexpectedPerTask = 64
const sampledPerTask = 1
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
  #pack: OpenPack | undefined

  constructor(setup: CopyWorkerSetup) {
    this.#setup = setup
    this.#kernel = createPageKernel({ inputBytes: largestUnitBytes, seed: setup.blockHashSeed })
    assert.ok(setup.buffers.every((buffer) => buffer.byteLength >= packBufferBytes))
  }

  answer(request: CopyRequest): CopyResponse {
    const answer: Answer = {
      runs: [],
      kept: [],
      suspects: [],
      unexpected: [],
      unexpectedCount: 0,
      resized: [],
      vanished: [],
      built: [],
      cut: [],
      growthLeft: { ...mostGrowthBytes },
    }
    switch (request.kind) {
      case 'copy':
        this.#copy(request.task, answer)
        break
      case 'finish':
        if (this.#pack !== undefined) this.#closePack(answer)
    }
    const { growthLeft: _unused, ...response } = answer
    return response
  }

  #copy({ slices }: CopyTask, answer: Answer): void {
    using files = new SliceFiles(this.#setup.rootPaths)
    for (const slice of slices) {
      if (slice.content === undefined) this.#copySlice(slice, files, answer)
      else this.#takeContent(slice, slice.content, answer)
    }
    this.#closeUnit(answer)
  }

  #copySlice(slice: Slice, files: SliceFiles, answer: Answer): void {
    const file = files.open(slice)
    if (file === undefined) {
      answer.vanished.push(slice.file)
      return
    }
    const stretched = slice.readsToEnd ? stretchToEnd(file.fd, slice, { place: file.place, answer }) : slice
    this.#readSlice(file, stretched, answer)
  }

  #readSlice(file: OpenedFile, slice: Slice, answer: Answer): void {
    for (let done = 0; done < slice.length;) {
      const wanted = Math.min(slice.length - done, largestUnitBytes)
      if (wanted > largestUnitBytes - this.#filled) this.#closeUnit(answer)
      const target = this.#kernel.input.subarray(this.#filled, this.#filled + wanted)
      const length = readFully(file, target, slice.offset + done)
      if (length > 0) this.#takeRead(slice, { offset: slice.offset + done, length }, answer)
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
    this.#takeRead(slice, { offset: slice.offset, length: content.length }, answer)
  }

  /** Takes what was just read behind the filled part of the input: what the parent does not have is kept there. */
  #takeRead(slice: Slice, { offset, length }: ByteRun, answer: Answer): void {
    const start = this.#filled
    const hashes = new BigUint64Array(hashCountOf(length))
    this.#kernel.hashBlocks({ offset: start, length }, hashes)
    if (slice.firstBlock !== undefined) this.#checkPages(slice, { offset, length }, { hashes, answer })
    if (slice.known === undefined) {
      this.#takeRun(slice, { offset, length, hashes }, answer)
      return
    }
    const firstKnown = (offset - slice.offset) / hashedBlockSize
    for (const row of blockRows({ hashes, length, known: slice.known, firstKnown })) {
      const from = row.first * hashedBlockSize
      const rowLength = Math.min(row.end * hashedBlockSize, length) - from
      if (row.isKept) {
        answer.kept.push({ file: slice.file, bytes: rowLength })
        continue
      }
      this.#lookForUnexpected(slice, { ...row, start, offset, hashes }, answer)
      this.#kernel.input.copyWithin(this.#filled, start + from, start + from + rowLength)
      const rowHashes = hashes.slice(row.first, row.end)
      this.#takeRun(slice, { offset: offset + from, length: rowLength, hashes: rowHashes }, answer)
    }
  }

  /** Adds the bytes behind the filled part of the input to the unit. Zeros are not stored. */
  #takeRun(slice: Slice, { offset, length, hashes }: HashedRun, answer: Answer): void {
    const { file, root, path } = slice
    const bytes = this.#kernel.input.subarray(this.#filled, this.#filled + length)
    if (zeros.subarray(0, length).equals(bytes)) {
      answer.runs.push({ file, offset, length, packNumber: 0, unit: 0, unitOffset: 0 })
      return
    }
    const piece = { root, path: fromBytePath(path), offset, length, blockHashes: hashes }
    this.#pending.push({ file, piece, unitOffset: this.#filled })
    this.#filled += length
    if (this.#pending.length >= mostPieces) this.#closeUnit(answer)
  }

  #checkPages(
    { file, firstBlock = 0 }: Slice,
    { offset, length }: ByteRun,
    { hashes, answer }: { readonly hashes: BigUint64Array; readonly answer: Answer },
  ): void {
    const firstInFile = offset / hashedBlockSize
    const bad = this.#kernel.checkPages({ offset: this.#filled, length }, firstBlock + firstInFile)
    for (const index of bad)
      answer.suspects.push({ file, block: firstInFile + index, hash: hashes[index] ?? 0n })
  }

  #lookForUnexpected({ file, offset: sliceOffset, named }: Slice, row: ReadRow, answer: Answer): void {
    const { audit } = this.#setup
    if (named === undefined || audit === undefined) return
    for (let index = row.first; index < row.end; index += 1) {
      const block = row.offset / hashedBlockSize + index
      if (named[block - sliceOffset / hashedBlockSize] !== 0) continue
      const pageLsn = readPageLsn(this.#kernel.input, row.start + index * hashedBlockSize)
      if (pageLsn >= audit.toLsn) continue
      answer.unexpectedCount += 1
      const mayBeHint = audit.hasSilentHints && pageLsn < audit.fromLsn
      if (answer.unexpected.length >= (mayBeHint ? sampledPerTask : mostUnexpectedPerTask)) continue
      answer.unexpected.push({ file, block, hash: row.hashes[index] ?? 0n, pageLsn })
    }
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

  #openPack(answer: Answer): OpenPack {
    const { clusterId, label, keys, compressionLevel, buffers, lastPack } = this.#setup
    // The main thread hears of a pack when its task ends: a second one in a task would wait for a buffer for ever.
    assert.ok(answer.built.length <= 1, 'a task fills at most one pack and begins at most one')
    const index = this.#awaitBuffer()
    const number = Atomics.add(lastPack, 0, 1) + 1
    const key = packKey(clusterId, { label, number })
    const shared = buffers[index]
    assert.ok(shared)
    const buffer = new Uint8Array(shared)
    return { writer: new PackWriter({ buffer, keys, key, compressionLevel }), number, buffer: index }
  }

  /** The first one that is free: memory that a fast store leaves no need for is never touched. */
  #awaitBuffer(): number {
    const { occupied, freed } = this.#setup
    for (;;) {
      const seen = Atomics.load(freed, 0)
      const free = occupied.findIndex((_, index) => Atomics.load(occupied, index) === 0)
      if (free !== -1) return free
      Atomics.wait(freed, 0, seen)
    }
  }

  #closePack(answer: Answer): void {
    assert.ok(this.#pack)
    const { writer, number, buffer } = this.#pack
    const { sizeBytes, indexTag } = writer.finish()
    answer.built.push({ packNumber: number, buffer, sizeBytes, indexTag })
    Atomics.store(this.#setup.occupied, buffer, 1)
    this.#pack = undefined
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
