import { closeSync, constants, fsyncSync, openSync, readSync, writeSync } from 'node:fs'
import { type BytePath, fromBytePath, showBytePath } from '../platform/byte-path.ts'
import { createPageKernel, type PageKernel } from '../codec/page-kernel.ts'
import { OperationError } from '../domain/operation-error.ts'
import { equalBytes } from '../codec/digest.ts'
import { DirectWriter } from '../platform/direct-writer.ts'
import { releaseMemory } from '../platform/release-memory.ts'
import { hashedBlockSize, type Piece, type Unit } from '../repository/pack-index.ts'
import { openPackIndex } from '../repository/read-pack-index.ts'
import { PackReader } from '../repository/pack-reader.ts'
import { largestUnitBytes } from '../repository/pack-writer.ts'
import {
  requestColumnCount,
  requestColumns,
  type UnpackRequest,
  type UnpackResponse,
  type UnpackSetup,
} from './unpack-protocol.ts'

interface Run {
  readonly unit: number
  readonly unitOffset: number
  readonly length: number
  readonly path: BytePath
  readonly fileOffset: number
}

/** Of a run. */
interface Part {
  readonly offset: number
  readonly length: number
}

type PackRequest = Extract<UnpackRequest, { kind: 'pack' }>

const zeros = new Uint8Array(largestUnitBytes)

/** Less is not worth to wait for the disk each time. */
const leastDirectBytes = 256 * 1024

/**
 * The work of one unpack worker: opens a pack that is in memory, and writes its live runs to their places with positioned
 * writes. Nothing of a unit is written before its seal was checked. Files exist already, with their size and mode.
 */
export class Unpacker {
  readonly #setup: UnpackSetup
  readonly #kernel: PageKernel
  readonly #direct: DirectWriter
  #file: { readonly path: BytePath; readonly fd: number } | undefined
  #comparedBytes = 0
  #writtenBytes = 0

  constructor(setup: UnpackSetup) {
    this.#setup = setup
    this.#kernel = createPageKernel({ inputBytes: largestUnitBytes, seed: setup.blockHashSeed })
    // Without a delta nothing is compared, so that its input is free.
    this.#direct = new DirectWriter(this.#kernel.input)
  }

  answer(request: UnpackRequest): UnpackResponse {
    this.#comparedBytes = 0
    this.#writtenBytes = 0
    let isDifferent = false
    try {
      switch (request.kind) {
        case 'compare':
          isDifferent = this.#compare(request)
          break
        case 'pack':
          this.#unpack(request)
          break
        case 'zeros':
          this.#checkZeros(request)
          break
        case 'sync':
          for (const path of request.paths) this.#sync(path)
      }
    } finally {
      this.#closeFile()
    }
    return { comparedBytes: this.#comparedBytes, writtenBytes: this.#writtenBytes, isDifferent }
  }

  /** Ends with the first run that is not in its file yet. */
  #compare({ index, indexTag, paths, runs }: Extract<UnpackRequest, { kind: 'compare' }>): boolean {
    const units = openPackIndex(index, this.#setup.keys, indexTag)
    for (const run of runsOf({ paths, runs }))
      if (this.#differing(run, units[run.unit]).length > 0) return true
    return false
  }

  #unpack(request: PackRequest): void {
    const { key, indexTag, pack } = request
    const reader = new PackReader(pack, { keys: this.#setup.keys, key })
    if (!equalBytes(reader.indexTag, indexTag)) throw damaged(key, 'it is not the pack that the backup means')
    for (const runs of runsByUnit(request)) this.#unpackUnit(reader, runs)
    releaseMemory(pack)
  }

  /** Opens the unit that all these runs are of, unless the files have everything already. */
  #unpackUnit(reader: PackReader, runs: readonly [Run, ...Run[]]): void {
    const { unit } = runs[0]
    const writes = runs
      .map((run) => ({ run, parts: this.#wrongParts(run, reader.units[unit]) }))
      .filter(({ parts }) => parts.length > 0)
    if (writes.length === 0) return
    reader.lendUnit(unit, (raw) => {
      for (const { run, parts } of writes) {
        const { path, unitOffset, fileOffset, length } = run
        if (unitOffset + length > raw.length)
          throw damaged(reader.key, `file ${showBytePath(path)} needs more of unit ${unit} than there is`)
        for (const part of parts) {
          const start = unitOffset + part.offset
          this.#write(path, raw.subarray(start, start + part.length), fileOffset + part.offset)
        }
      }
    })
  }

  #wrongParts(run: Run, unit: Unit | undefined): readonly Part[] {
    return this.#setup.isDelta ? this.#differing(run, unit) : [{ offset: 0, length: run.length }]
  }

  /** The parts of a run that are not in the file yet, by the hashes of its blocks. What cannot be compared counts as wrong. */
  #differing(run: Run, unit: Unit | undefined): readonly Part[] {
    const hashes = unit && hashesOf(run, unit)
    if (hashes === undefined) return [{ offset: 0, length: run.length }]
    const found = new BigUint64Array(hashes.length)
    const read = this.#read(run)
    this.#kernel.hashBlocks({ offset: 0, length: read }, found)
    this.#comparedBytes += read
    const wrong: { offset: number; length: number }[] = []
    for (const [index, hash] of hashes.entries()) {
      const offset = index * hashedBlockSize
      const length = Math.min(hashedBlockSize, run.length - offset)
      if (offset + length <= read && found[index] === hash) continue
      const previous = wrong.at(-1)
      if (previous !== undefined && previous.offset + previous.length === offset) previous.length += length
      else wrong.push({ offset, length })
    }
    return wrong
  }

  /** Reads what the file has now into the kernel's input. */
  #read({ path, fileOffset, length }: Pick<Run, 'path' | 'fileOffset' | 'length'>): number {
    const fd = this.#open(path)
    let done = 0
    while (done < length) {
      const count = readSync(fd, this.#kernel.input, done, length - done, fileOffset + done)
      if (count === 0) break
      done += count
    }
    return done
  }

  #write(path: BytePath, bytes: Uint8Array, position: number): void {
    if (!this.#writeDirectly(path, bytes, position)) this.#writeThroughCache(path, bytes, position)
    this.#writtenBytes += bytes.length
  }

  /** What a delta restore has just read is in the page cache already, and it is little that it writes. */
  #writeDirectly(path: BytePath, bytes: Uint8Array, position: number): boolean {
    if (this.#setup.isDelta || bytes.length < leastDirectBytes) return false
    try {
      return this.#direct.write(path, bytes, position)
    } catch (cause) {
      throw writeFailure(path, cause)
    }
  }

  #writeThroughCache(path: BytePath, bytes: Uint8Array, position: number): void {
    const fd = this.#open(path)
    let done = 0
    try {
      while (done < bytes.length) {
        const count = writeSync(fd, bytes, done, bytes.length - done, position + done)
        if (count === 0) throw new Error(`writing ${bytes.length - done} bytes took none`)
        done += count
      }
    } catch (cause) {
      throw writeFailure(path, cause)
    }
  }

  #checkZeros({ paths, runs }: Extract<UnpackRequest, { kind: 'zeros' }>): void {
    for (let row = 0; row < runs.length; row += 3) {
      const path = paths[runs[row] ?? 0] ?? ''
      const [start, end] = [runs[row + 1] ?? 0, (runs[row + 1] ?? 0) + (runs[row + 2] ?? 0)]
      for (let fileOffset = start; fileOffset < end; fileOffset += largestUnitBytes) {
        const length = Math.min(largestUnitBytes, end - fileOffset)
        const read = this.#read({ path, fileOffset, length })
        this.#comparedBytes += read
        const isZero =
          read === length && equalBytes(this.#kernel.input.subarray(0, length), zeros.subarray(0, length))
        if (!isZero) this.#write(path, zeros.subarray(0, length), fileOffset)
      }
    }
  }

  #sync(path: BytePath): void {
    const fd = this.#open(path)
    try {
      fsyncSync(fd)
    } catch (cause) {
      throw writeFailure(path, cause)
    }
  }

  /** One file is open at a time: runs of a pack come file by file. */
  #open(path: BytePath): number {
    if (this.#file?.path === path) return this.#file.fd
    this.#closeFile()
    try {
      const fd = openSync(fromBytePath(path), constants.O_RDWR | constants.O_NOFOLLOW)
      this.#file = { path, fd }
      return fd
    } catch (cause) {
      throw writeFailure(path, cause)
    }
  }

  #closeFile(): void {
    this.#direct.close()
    const file = this.#file
    this.#file = undefined
    if (file !== undefined) closeSync(file.fd)
  }
}

/** Runs come in the order of their units. */
function* runsByUnit(request: PackRequest): Generator<readonly [Run, ...Run[]]> {
  let runs: [Run, ...Run[]] | undefined
  for (const run of runsOf(request)) {
    if (runs?.[0].unit === run.unit) {
      runs.push(run)
      continue
    }
    if (runs !== undefined) yield runs
    runs = [run]
  }
  if (runs !== undefined) yield runs
}

function* runsOf({ runs, paths }: Pick<PackRequest, 'runs' | 'paths'>): Generator<Run> {
  for (let row = 0; row < runs.length; row += requestColumnCount) {
    yield {
      unit: runs[row + requestColumns.unit] ?? 0,
      unitOffset: runs[row + requestColumns.unitOffset] ?? 0,
      length: runs[row + requestColumns.length] ?? 0,
      path: paths[runs[row + requestColumns.file] ?? 0] ?? '',
      fileOffset: runs[row + requestColumns.fileOffset] ?? 0,
    }
  }
}

/** The hashes of a run's blocks; undefined when its blocks are not those of one piece. */
function hashesOf({ unitOffset, length }: Run, { pieces }: Unit): BigUint64Array | undefined {
  let start = 0
  for (const piece of pieces) {
    const within = unitOffset - start
    if (within < piece.length) return hashesWithin(piece, within, length)
    start += piece.length
  }
  return undefined
}

function hashesWithin(piece: Piece, within: number, length: number): BigUint64Array | undefined {
  const end = within + length
  const isWhole =
    within % hashedBlockSize === 0 &&
    (end === piece.length || (end < piece.length && end % hashedBlockSize === 0))
  if (!isWhole) return undefined
  return piece.blockHashes.subarray(within / hashedBlockSize, Math.ceil(end / hashedBlockSize))
}

function damaged(key: string, what: string): OperationError {
  return new OperationError('damaged', `reading pack "${key}": ${what}`)
}

/** For the caller's words as well: what the file system said about a path of a restore. */
export function writeFailure(path: BytePath, cause: unknown): OperationError {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
  const isFull = code === 'ENOSPC' || code === 'EDQUOT'
  const found =
    cause instanceof Error ? cause.message.replace(/^([A-Z]+): ([^,]*),.*$/s, '$2 ($1)') : String(cause)
  return new OperationError(
    isFull ? 'no-space' : 'file-unwritable',
    `restoring ${showBytePath(path)}: ${found}`,
    {
      cause,
      hint: 'The directory cannot be started as it is; run the same command again when the cause is gone, and it goes on.',
    },
  )
}
