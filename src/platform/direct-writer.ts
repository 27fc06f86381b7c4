import { closeSync, constants, openSync, writeSync } from 'node:fs'
import { type BytePath, fromBytePath } from './byte-path.ts'
import { hasSystemCode } from './durable-file.ts'
import { pageBytes } from './page-memory.ts'

/**
 * Writes pieces of files that exist past the page cache (O_DIRECT). Whoever writes more than he reads again pays for the
 * cache and gets nothing for it: it took half of the CPU time of a restore, and on a virtual machine, whose host has to
 * give it the pages first, a gigabyte of zeros took 5 s of wall time through the cache and 1 s past it (November 2026).
 *
 * Nothing is durable by that: the file, or its file system, has to be synced as after any other write.
 */
export class DirectWriter {
  readonly #memory: Uint8Array
  #file: { readonly path: BytePath; readonly fd: number } | undefined
  #isRefused = false

  /** What is written goes through `memory`, which has to begin at a memory page, as the kernel demands. */
  constructor(memory: Uint8Array) {
    this.#memory = memory
  }

  /**
   * False when this piece or this file system does not allow it: then nothing or a part of the piece was written, and it is
   * to be written the usual way. Throws the system's error when it failed for another reason.
   */
  write(path: BytePath, bytes: Uint8Array, position: number): boolean {
    const isAligned = bytes.length % pageBytes === 0 && position % pageBytes === 0
    if (this.#isRefused || !isAligned || bytes.length > this.#memory.length) return false
    try {
      return this.#write(this.#open(path), bytes, position)
    } catch (error) {
      if (!hasSystemCode(error, 'EINVAL', 'EOPNOTSUPP', 'ENOTSUP')) throw error
      this.#isRefused = true
      return false
    }
  }

  /** Closes the file that was written to last. Another one may be written to afterwards. */
  close(): void {
    const file = this.#file
    this.#file = undefined
    if (file !== undefined) closeSync(file.fd)
  }

  #write(fd: number, bytes: Uint8Array, position: number): boolean {
    this.#memory.set(bytes)
    for (let done = 0; done < bytes.length;) {
      const count = writeSync(fd, this.#memory, done, bytes.length - done, position + done)
      if (count === 0 || count % pageBytes !== 0) return false
      done += count
    }
    return true
  }

  #open(path: BytePath): number {
    if (this.#file?.path === path) return this.#file.fd
    this.close()
    const fd = openSync(fromBytePath(path), constants.O_WRONLY | constants.O_NOFOLLOW | constants.O_DIRECT)
    this.#file = { path, fd }
    return fd
  }
}
