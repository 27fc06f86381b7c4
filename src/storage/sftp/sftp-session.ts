import type { Attributes, Callback, DirectoryEntry } from 'ssh2'
import type { Clock } from '../../domain/run-context.ts'
import { connect, type SftpConnection } from './connect.ts'
import { lostConnection, SftpFault, SftpStatus } from './sftp-fault.ts'
import type { SftpLocation, SftpStoreOptions } from './sftp-options.ts'

/** What a server knows of an entry without following links. */
export interface EntryAttributes {
  readonly kind: 'file' | 'folder' | 'other'
  readonly sizeBytes: number
  readonly modifiedAtS: number
  readonly accessedAtS: number
}

export interface FolderEntry extends EntryAttributes {
  readonly name: string
}

/** An open file or folder of a session. */
export type Handle = Buffer & { readonly handle?: never }

export type Extension = 'fsync@openssh.com' | 'hardlink@openssh.com' | 'statvfs@openssh.com'

/** Flags of SSH_FXP_OPEN. */
const openFlags = { read: 0x01, createNew: 0x02 | 0x08 | 0x20 } as const

/**
 * Requests on one connection, one each, without a retry. They reject with `SftpStatus` when the server refuses, with
 * `SftpFault` when the connection is lost, or with the signal's reason; a request that was sent may be obeyed all the same.
 *
 * The server is given up when it is silent for `idleTimeoutMs` while it owes an answer. Bytes that arrive are what counts,
 * on the socket: a slow upload moves the window before its first request is answered. The keep-alive of SSH would not do:
 * its own requests wait behind what is being sent, and its answers come from another process than those of SFTP.
 */
export class SftpSession {
  readonly #connection: SftpConnection
  readonly #clock: Clock
  readonly #idleTimeoutMs: number
  readonly #ended = new AbortController()
  readonly #pending = new Set<(error: Error) => void>()
  #lost: Error | undefined
  #quietSinceMs = 0
  #bytesSeen = 0
  #isWatching = false

  constructor(connection: SftpConnection, { clock, idleTimeoutMs }: { clock: Clock; idleTimeoutMs: number }) {
    this.#connection = connection
    this.#clock = clock
    this.#idleTimeoutMs = idleTimeoutMs
    const { client, sftp } = connection
    const lose = (cause?: unknown): void =>
      this.#lose(lostConnection('the connection to the server was lost', cause))
    client.on('error', lose)
    client.on('close', () => lose())
    sftp.on('error', lose)
    sftp.on('close', () => lose())
    sftp.on('end', () => lose())
  }

  /** False: open another one. */
  get isAlive(): boolean {
    return this.#lost === undefined
  }

  has(extension: Extension): boolean {
    // ssh2 says what a server has only by throwing, or here.
    const extensions: unknown = Reflect.get(this.#connection.sftp, '_extensions')
    return typeof extensions === 'object' && extensions !== null && extension in extensions
  }

  /** Undefined when there is none; a link is not followed. */
  async lstat(path: string, signal: AbortSignal): Promise<EntryAttributes | undefined> {
    try {
      const found = await this.#ask<Attributes>(signal, (sftp, answer) => sftp.lstat(path, answer))
      return toAttributes(found)
    } catch (error) {
      if (error instanceof SftpStatus && error.code === noSuchFile) return undefined
      throw error
    }
  }

  async openToRead(path: string, signal: AbortSignal): Promise<Handle> {
    return this.#ask<Buffer>(signal, (sftp, answer) => sftp.open(path, openFlags.read, {}, answer))
  }

  /** Fails when the name is taken. */
  async openNew(path: string, mode: number, signal: AbortSignal): Promise<Handle> {
    return this.#ask<Buffer>(signal, (sftp, answer) => sftp.open(path, openFlags.createNew, { mode }, answer))
  }

  /** How many bytes were read into `into`, which must not be empty; 0: the file ends before. */
  async read(handle: Handle, into: Buffer, { offset, signal }: At): Promise<number> {
    return this.#ask<number>(signal, (sftp, answer) =>
      sftp.read(handle, into, 0, into.length, offset, answer),
    )
  }

  /** The bytes are copied before this returns. */
  async write(handle: Handle, bytes: Buffer, { offset, signal }: At): Promise<void> {
    await this.#ask<unknown>(signal, (sftp, answer) =>
      sftp.write(handle, bytes, 0, bytes.length, offset, answer),
    )
  }

  async fstat(handle: Handle, signal: AbortSignal): Promise<EntryAttributes> {
    return toAttributes(await this.#ask<Attributes>(signal, (sftp, answer) => sftp.fstat(handle, answer)))
  }

  async fsync(handle: Handle, signal: AbortSignal): Promise<void> {
    await this.#ask<void>(signal, (sftp, answer) => sftp.ext_openssh_fsync(handle, answer))
  }

  async close(handle: Handle, signal: AbortSignal): Promise<void> {
    await this.#ask<void>(signal, (sftp, answer) => sftp.close(handle, answer))
  }

  /** Closes without waiting for it: what became of a handle that was only read from, or is given up, matters to nobody. */
  release(handle: Handle): void {
    this.close(handle, this.#ended.signal).catch(() => undefined)
  }

  /** Removes a file without waiting for it, as far as the connection still allows it. */
  discard(path: string): void {
    this.unlink(path, this.#ended.signal).catch(() => undefined)
  }

  async openFolder(path: string, signal: AbortSignal): Promise<Handle> {
    return this.#ask<Buffer>(signal, (sftp, answer) => sftp.opendir(path, answer))
  }

  /** The next entries of an open folder; none: these were all. */
  async readFolder(handle: Handle, signal: AbortSignal): Promise<readonly (FolderEntry | string)[]> {
    try {
      const found = await this.#ask<DirectoryEntry[]>(signal, (sftp, answer) =>
        sftp.readdir(handle, { full: false }, answer),
      )
      return found.map(toEntry)
    } catch (error) {
      if (error instanceof SftpStatus && error.code === endOfFile) return []
      throw error
    }
  }

  async makeFolder(path: string, mode: number, signal: AbortSignal): Promise<void> {
    await this.#ask<void>(signal, (sftp, answer) => sftp.mkdir(path, { mode }, answer))
  }

  async removeFolder(path: string, signal: AbortSignal): Promise<void> {
    await this.#ask<void>(signal, (sftp, answer) => sftp.rmdir(path, answer))
  }

  async unlink(path: string, signal: AbortSignal): Promise<void> {
    await this.#ask<void>(signal, (sftp, answer) => sftp.unlink(path, answer))
  }

  /** Fails when the new name is taken. */
  async link(from: string, to: string, signal: AbortSignal): Promise<void> {
    await this.#ask<void>(signal, (sftp, answer) => sftp.ext_openssh_hardlink(from, to, answer))
  }

  /** By the protocol's version 3 this fails when the new name is taken; not every server obeys. */
  async rename(from: string, to: string, signal: AbortSignal): Promise<void> {
    await this.#ask<void>(signal, (sftp, answer) => sftp.rename(from, to, answer))
  }

  async setTimes(
    path: string,
    { accessedAtS: atime, modifiedAtS: mtime }: Pick<EntryAttributes, 'accessedAtS' | 'modifiedAtS'>,
    signal: AbortSignal,
  ): Promise<void> {
    await this.#ask<void>(signal, (sftp, answer) => sftp.setstat(path, { atime, mtime }, answer))
  }

  /** Whether the file system of `path` has no block or no inode left for this user. */
  async isFull(path: string, signal: AbortSignal): Promise<boolean> {
    const found = await this.#ask<{ f_bavail: number; f_favail: number; f_files: number }>(
      signal,
      (sftp, answer) => sftp.ext_openssh_statvfs(path, answer),
    )
    return found.f_bavail === 0 || (found.f_files > 0 && found.f_favail === 0)
  }

  /** Ends the connection in good order, and what is under way on it. */
  end(): void {
    if (this.#lost !== undefined) return
    const { client, socket } = this.#connection
    client.end()
    // Should the peer not take the farewell, nobody waits for it.
    socket.unref()
    socket.destroySoon()
    this.#lose(lostConnection('the connection was closed'))
  }

  #ask<T>(
    signal: AbortSignal,
    send: (sftp: SftpConnection['sftp'], answer: Callback<T>) => void,
  ): Promise<T> {
    if (signal.aborted) return Promise.reject(asError(signal.reason))
    if (this.#lost !== undefined) return Promise.reject(this.#lost)
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    const onAbort = (): void => reject(asError(signal.reason))
    const leave = (): void => {
      signal.removeEventListener('abort', onAbort)
      this.#pending.delete(fail)
    }
    const fail = (error: Error): void => {
      leave()
      reject(error)
    }
    signal.addEventListener('abort', onAbort, { once: true })
    // An aborted request stays in it: the server still owes the answer.
    if (this.#pending.size === 0) this.#quietSinceMs = this.#clock.monotonic()
    this.#pending.add(fail)
    try {
      send(this.#connection.sftp, (error, value) => {
        leave()
        if (error) reject(this.#answerFault(error))
        else resolve(value)
      })
    } catch (error) {
      fail(asError(error))
    }
    this.#watch()
    return promise
  }

  #answerFault(error: Error): Error {
    const code: unknown = Reflect.get(error, 'code')
    if (typeof code === 'number') return new SftpStatus(code)
    return this.#lost ?? lostConnection('the connection to the server was lost', error)
  }

  #lose(error: Error): void {
    if (this.#lost !== undefined) return
    this.#lost = error
    const { socket } = this.#connection
    if (!socket.writableEnded) socket.destroy()
    this.#ended.abort(error)
    for (const fail of Array.from(this.#pending)) fail(error)
  }

  #watch(): void {
    if (this.#isWatching) return
    this.#isWatching = true
    this.#watchUntilAnswered().then(
      () => (this.#isWatching = false),
      () => undefined, // the session has ended
    )
  }

  async #watchUntilAnswered(): Promise<void> {
    while (this.#pending.size > 0) {
      await this.#clock.sleep(this.#idleTimeoutMs / 8, this.#ended.signal)
      const { bytesRead } = this.#connection.socket
      const nowMs = this.#clock.monotonic()
      if (bytesRead !== this.#bytesSeen) this.#quietSinceMs = nowMs
      this.#bytesSeen = bytesRead
      if (this.#pending.size > 0 && nowMs - this.#quietSinceMs >= this.#idleTimeoutMs) {
        this.#lose(lostConnection('the server did not answer in time'))
      }
    }
  }
}

/** Opens a session; whoever gets it ends it. */
export async function openSftpSession(
  place: SftpLocation,
  { clock, signal, options }: { clock: Clock; signal: AbortSignal; options: SftpStoreOptions },
): Promise<SftpSession> {
  const connection = await connect(place, options, signal)
  return new SftpSession(connection, { clock, idleTimeoutMs: options.idleTimeoutMs })
}

interface At {
  readonly offset: number
  readonly signal: AbortSignal
}

const endOfFile = 1
const noSuchFile = 2

const kindMask = 0o170000
const kinds: Readonly<Record<number, EntryAttributes['kind']>> = { 0o100000: 'file', 0o040000: 'folder' }

/** Only the name where the server does not tell the rest. */
function toEntry({ filename: name, attrs }: DirectoryEntry): FolderEntry | string {
  const isTold = [attrs.mode, attrs.size, attrs.mtime, attrs.atime].every((value) => value !== undefined)
  return isTold ? { name, ...toAttributes(attrs) } : name
}

function toAttributes({ mode, size, mtime, atime }: Attributes): EntryAttributes {
  if (mode === undefined || size === undefined || mtime === undefined || atime === undefined) {
    throw new SftpFault({
      found: 'the server does not say of a file what kind it is, how large and how old',
      hint: 'Use a server that has what docs/sftp.md lists.',
    })
  }
  return { kind: kinds[mode & kindMask] ?? 'other', sizeBytes: size, modifiedAtS: mtime, accessedAtS: atime }
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error('stopped', { cause: reason })
}
