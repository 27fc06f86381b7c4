import { closeSync, constants, openSync, readSync } from 'node:fs'
import { OperationError } from '../domain/operation-error.ts'
import { fromBytePath, showBytePath, toBytePath, type BytePath } from '../platform/byte-path.ts'
import { describeSystemError, isSystemError } from '../platform/durable-file.ts'
import type { Slice } from './copy-task.ts'

export interface OpenedFile {
  readonly fd: number
  /** For messages. */
  readonly place: Buffer
}

/** Opens the files that slices are of, one at a time: slices of one file come one after the other. */
export class SliceFiles implements Disposable {
  readonly #rootPaths: ReadonlyMap<number, BytePath>
  #open: { readonly file: number; readonly opened: OpenedFile } | undefined

  constructor(rootPaths: ReadonlyMap<number, BytePath>) {
    this.#rootPaths = rootPaths
  }

  /** The file of a slice; undefined when it is gone. It is closed when another one is opened. */
  open({ file, root, path, isFollowed }: Slice): OpenedFile | undefined {
    if (this.#open?.file === file) return this.#open.opened
    this[Symbol.dispose]()
    const place = Buffer.concat([fromBytePath(this.#rootPaths.get(root) ?? ''), fromBytePath(`/${path}`)])
    const fd = openForReading(place, isFollowed)
    if (fd === undefined) return undefined
    const opened = { fd, place }
    this.#open = { file, opened }
    return opened
  }

  [Symbol.dispose](): void {
    const open = this.#open
    this.#open = undefined
    if (open !== undefined) closeSync(open.opened.fd)
  }
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
export function readFully({ fd, place }: OpenedFile, target: Uint8Array, position: number): number {
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
