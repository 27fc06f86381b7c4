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
}

/** Undefined: not a call of interest. */
export type Describe = (parameters: readonly unknown[], self: unknown) => Call | undefined

const programRoot = join(import.meta.dirname, '..', '..')

/** Functions that take paths. */
export const byPath: Readonly<Record<string, Describe>> = {
  open: ([path, flags]) => ({ operation: 'open', path, creates: isCreating(flags) }),
  readFile: ([path]) => (isPath(path) ? { operation: 'open', path } : undefined),
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
  write: ([fd]) => ofDescriptor('write', fd),
  writev: ([fd]) => ofDescriptor('write', fd),
  fsync: ([fd]) => ofDescriptor('fsync', fd),
  fdatasync: ([fd]) => ofDescriptor('fsync', fd),
  ftruncate: ([fd]) => ofDescriptor('truncate', fd),
}

/** Methods of a file handle. */
export const byHandle: Readonly<Record<string, Describe>> = {
  write: (_, handle) => ofDescriptor('write', descriptorOf(handle)),
  writev: (_, handle) => ofDescriptor('write', descriptorOf(handle)),
  writeFile: (_, handle) => ofDescriptor('write', descriptorOf(handle)),
  appendFile: (_, handle) => ofDescriptor('write', descriptorOf(handle)),
  sync: (_, handle) => ofDescriptor('fsync', descriptorOf(handle)),
  datasync: (_, handle) => ofDescriptor('fsync', descriptorOf(handle)),
  truncate: (_, handle) => ofDescriptor('truncate', descriptorOf(handle)),
}

/** Not what Node does to load the program, nor what the kernel says about processes. */
export function isCounted({ path, operation }: Call): boolean {
  if (path === undefined) return true
  const text = textOf(path)
  const isProgram = text.startsWith(`${programRoot}/`) || text.includes('/node_modules/')
  if (operation === 'open' && isProgram) return false
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

export function isPath(value: unknown): value is fs.PathLike {
  return typeof value === 'string' || value instanceof URL || Buffer.isBuffer(value)
}

export function textOf(path: unknown): string {
  if (path instanceof URL) return decodeURIComponent(path.pathname)
  return Buffer.isBuffer(path) ? path.toString('latin1') : String(path)
}
