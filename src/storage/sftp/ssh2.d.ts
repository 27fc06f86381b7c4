/** What we use of ssh2 1.17.0, which brings no types. `sftp-session.ts` and `login.ts` are all that call it. */
declare module 'ssh2' {
  import type { EventEmitter } from 'node:events'
  import type { Socket } from 'node:net'

  type Callback<T> = (error: Error | undefined | null, value: T) => void

  interface ConnectConfig {
    readonly sock: Socket
    readonly username: string
    readonly readyTimeout: number
    readonly ident: string
    readonly hostVerifier: (key: Buffer) => boolean
    readonly algorithms: { readonly serverHostKey: readonly string[] }
    readonly authHandler: readonly string[]
    readonly password?: string
    readonly tryKeyboard?: boolean
    readonly privateKey?: Buffer
    readonly passphrase?: string
    readonly agent?: string
  }

  interface ParsedKey {
    isPrivateKey(): boolean
  }

  interface Prompt {
    readonly prompt: string
    readonly echo: boolean
  }

  class Client extends EventEmitter {
    connect(config: ConnectConfig): this
    setNoDelay(noDelay: boolean): this
    sftp(callback: Callback<Sftp>): this
    end(): this
    destroy(): this
  }

  /** Undefined where the server did not send it. Times are whole seconds. */
  interface Attributes {
    readonly mode: number | undefined
    readonly size: number | undefined
    readonly atime: number | undefined
    readonly mtime: number | undefined
  }

  interface DirectoryEntry {
    readonly filename: string
    readonly attrs: Attributes
  }

  interface Sftp extends EventEmitter {
    open(
      path: string,
      flags: number,
      attributes: { readonly mode?: number },
      callback: Callback<Buffer>,
    ): void
    close(handle: Buffer, callback: Callback<void>): void
    /** Fills `length` bytes of `buffer` from `start` on, or as many as one answer brought. 0 bytes: the end. */
    read(
      handle: Buffer,
      buffer: Buffer,
      start: number,
      length: number,
      position: number,
      callback: Callback<number>,
    ): void
    write(
      handle: Buffer,
      buffer: Buffer,
      start: number,
      length: number,
      position: number,
      callback: Callback<unknown>,
    ): void
    fstat(handle: Buffer, callback: Callback<Attributes>): void
    lstat(path: string, callback: Callback<Attributes>): void
    setstat(
      path: string,
      attributes: { readonly atime: number; readonly mtime: number },
      callback: Callback<void>,
    ): void
    opendir(path: string, callback: Callback<Buffer>): void
    readdir(handle: Buffer, options: { readonly full: false }, callback: Callback<DirectoryEntry[]>): void
    mkdir(path: string, attributes: { readonly mode: number }, callback: Callback<void>): void
    rmdir(path: string, callback: Callback<void>): void
    unlink(path: string, callback: Callback<void>): void
    rename(from: string, to: string, callback: Callback<void>): void
    ext_openssh_hardlink(from: string, to: string, callback: Callback<void>): void
    ext_openssh_fsync(handle: Buffer, callback: Callback<void>): void
    ext_openssh_statvfs(
      path: string,
      callback: Callback<{ readonly f_bavail: number; readonly f_favail: number; readonly f_files: number }>,
    ): void
  }

  const ssh2: {
    readonly Client: typeof Client
    readonly utils: {
      parseKey(content: Buffer, passphrase?: string): ParsedKey | Error
    }
  }
  // oxlint-disable-next-line import/no-default-export -- that is how a CommonJS package looks from here
  export default ssh2
  export type { Attributes, Callback, Client, ConnectConfig, DirectoryEntry, ParsedKey, Prompt, Sftp }
}
