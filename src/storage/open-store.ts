import { resolve } from 'node:path'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { ObjectStore } from './object-store.ts'
import { createPosixStore, openPosixStore, type PosixStoreOptions } from './posix/posix-store.ts'

/** Where a repository is. */
export interface RepositoryLocation {
  readonly kind: 'posix'
  /** Absolute, without a slash at the end. */
  readonly path: string
}

export type StoreOptions = PosixStoreOptions

/** Kinds that have a name and a form already, but no store. */
const plannedKinds = new Set(['s3', 'sftp', 'azure', 'gcs'])

const hint = 'Write it as "posix:/absolute/path".'

/** Reads `KIND:LOCATION`. Throws `config-invalid`; messages do not repeat what may hold a secret. */
export function parseRepositoryLocation(text: string): RepositoryLocation {
  const [kind, rest] = splitOnce(text)
  if (kind === 'posix' && rest !== undefined) return { kind, path: parsePath(rest) }
  if (plannedKinds.has(kind) && rest !== undefined) {
    throw invalid(
      `expected a kind of store that this version has, found "${kind}", which is not supported by this version`,
    )
  }
  throw invalid(
    rest === undefined
      ? 'expected KIND:LOCATION, found no kind'
      : `expected the kind "posix", found "${kind}"`,
  )
}

/** Opens the store at this place, which must exist. The caller closes it. */
export async function openStore(
  location: RepositoryLocation,
  options: StoreOptions,
  context: Pick<RunContext, 'signal' | 'clock'>,
): Promise<ObjectStore> {
  return openPosixStore(location.path, options, context)
}

/** Makes the place a store unless it is one already, and opens it. The caller closes it. */
export async function createStore(
  location: RepositoryLocation,
  options: StoreOptions,
  context: Pick<RunContext, 'signal' | 'clock'>,
): Promise<ObjectStore> {
  return createPosixStore(location.path, options, context)
}

function splitOnce(text: string): readonly [string, string | undefined] {
  const colon = text.indexOf(':')
  return colon < 0 ? [text, undefined] : [text.slice(0, colon), text.slice(colon + 1)]
}

function parsePath(path: string): string {
  if (!path.startsWith('/')) throw invalid(`expected an absolute path, found "${path}"`)
  if (path.includes('\0')) throw invalid('expected a path, found a NUL character in it')
  const resolved = resolve(path)
  if (resolved === '/') throw invalid('expected a directory of its own, found the root directory')
  return resolved
}

function invalid(what: string): OperationError {
  return new OperationError('config-invalid', `reading the location of a repository: ${what}`, { hint })
}
