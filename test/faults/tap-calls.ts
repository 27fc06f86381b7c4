import fs from 'node:fs'
import { join } from 'node:path'
import type { TapOperation } from './tap-settings.ts'

/** What one call of node:fs is about. */
export interface Call {
  readonly operation: TapOperation
  readonly path?: unknown
  readonly to?: unknown
  readonly fd?: number
  readonly creates?: boolean
  /** It opens and reads in one. */
  readonly reads?: boolean
}

/** Undefined: not a call of interest. */
export type Describe = (parameters: readonly unknown[], self: unknown) => Call | undefined

const programRoot = join(import.meta.dirname, '..', '..')

/** Functions that take paths. */
export const byPath: Readonly<Record<string, Describe>> = {
  open: ([path, flags]) => ({ operation: 'open', path, creates: isCreating(flags) }),
  readFile: ([path]) => (isPath(path) ? { operation: 'open', path, reads: true } : undefined),
  appendFile: ([path]) => (isPath(path) ? { operation: 'write', path } : undefined),
  // The promise is replaced by steps; this is for the others, which the tool hardly uses.
  writeFile: ([path]) => (isPath(path) ? { operation: 'write', path } : undefined),
  copyFile: ([, path]) => ({ operation: 'write', path }),
  rename: ([path, to]) => ({ operation: 'rename', path, to }),
  link: ([path, to]) => ({ operation: 'link', path, to }),
  symlink: ([, path]) => ({ operation: 'symlink', path }),
  unlink: ([path]) => ({ operation: 'unlink', path }),
  rm: ([path]) => ({ operation: 'unlink', path }),
  mkdir: ([path]) => ({ operation: 'mkdir', path }),
  mkdtemp: ([path]) => ({ operation: 'mkdir', path }),
  rmdir: ([path]) => ({ operation: 'rmdir', path }),
  truncate: ([path]) => ({ operation: 'truncate', path }),
}

/** Functions that take a descriptor. */
export const byDescriptor: Readonly<Record<string, Describe>> = {
  read: ([fd]) => ofDescriptor('read', fd),
  write: ([fd]) => ofDescriptor('write', fd),
  writev: ([fd]) => ofDescriptor('write', fd),
  fsync: ([fd]) => ofDescriptor('fsync', fd),
  fdatasync: ([fd]) => ofDescriptor('fsync', fd),
  ftruncate: ([fd]) => ofDescriptor('truncate', fd),
}

/** Methods of a file handle. */
export const byHandle: Readonly<Record<string, Describe>> = {
  read: (_, handle) => ofDescriptor('read', descriptorOf(handle)),
  readFile: (_, handle) => ofDescriptor('read', descriptorOf(handle)),
  write: (_, handle) => ofDescriptor('write', descriptorOf(handle)),
  writev: (_, handle) => ofDescriptor('write', descriptorOf(handle)),
  writeFile: (_, handle) => ofDescriptor('write', descriptorOf(handle)),
  appendFile: (_, handle) => ofDescriptor('write', descriptorOf(handle)),
  sync: (_, handle) => ofDescriptor('fsync', descriptorOf(handle)),
  datasync: (_, handle) => ofDescriptor('fsync', descriptorOf(handle)),
  truncate: (_, handle) => ofDescriptor('truncate', descriptorOf(handle)),
}

/** Not what Node does to load the program, nor what the kernel says about processes. */
export function isCounted(call: Call, watches: 'changes' | 'reads'): boolean {
  const { path, operation, reads = operation === 'read' } = call
  if (watches === 'reads' ? !reads : operation === 'read') return false
  if (path === undefined && operation !== 'read') return true
  const text = path === undefined ? pathOf(call.fd) : textOf(path)
  if (isOfProgram(text) && (operation === 'open' || operation === 'read')) return false
  return !/^\/(proc\/(?!self\/fd\/)|dev\/)/.test(text)
}

function isCreating(flags: unknown): boolean {
  if (typeof flags === 'number') return (flags & (fs.constants.O_CREAT | fs.constants.O_TRUNC)) !== 0
  return typeof flags === 'string' && /^[wa]/.test(flags)
}

const ofDescriptor = (operation: TapOperation, fd: unknown): Call | undefined =>
  typeof fd === 'number' && fd > 2 ? { operation, fd } : undefined

export function descriptorOf(handle: unknown): number | undefined {
  if (typeof handle === 'number') return handle
  const isHandle = typeof handle === 'object' && handle !== null && 'fd' in handle
  return isHandle && typeof handle.fd === 'number' ? handle.fd : undefined
}

function isOfProgram(path: string): boolean {
  return path.startsWith(`${programRoot}/`) || path.includes('/node_modules/')
}

/** Of an open file, as /proc has it. */
export function pathOf(fd: number | undefined): string {
  try {
    return fs.readlinkSync(`/proc/self/fd/${fd}`)
  } catch {
    return `descriptor ${fd}`
  }
}

export function isPath(value: unknown): value is fs.PathLike {
  return typeof value === 'string' || value instanceof URL || Buffer.isBuffer(value)
}

export function textOf(path: unknown): string {
  if (path instanceof URL) return decodeURIComponent(path.pathname)
  return Buffer.isBuffer(path) ? path.toString('latin1') : String(path)
}

/** The stretch of memory that a call reads into or writes from, and where in the parameters it stands. */
export interface Stretch {
  readonly index: number
  readonly bytes: Uint8Array
  readonly offset: number
  readonly length: number
  readonly position: unknown
}

/** Undefined: the call does not say it as bytes, an offset and a length. */
export function stretchOf(parameters: readonly unknown[]): Stretch | undefined {
  const index = parameters.findIndex((parameter) => parameter instanceof Uint8Array)
  const bytes = parameters[index]
  if (!(bytes instanceof Uint8Array)) return undefined
  const [offset = 0, length = bytes.length, position = null] = parameters.slice(index + 1)
  if (typeof offset !== 'number' || typeof length !== 'number') return undefined
  return { index, bytes, offset, length, position }
}
