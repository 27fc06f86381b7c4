import { lstat, realpath, stat } from 'node:fs/promises'
import { dirname, join, resolve, sep } from 'node:path'
import { OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'
import { hasSystemCode } from '../platform/durable-file.ts'

/** Directories that nothing may be restored into or around. */
export interface ForbiddenPlaces {
  /** Where the repository is, when it is a directory of this machine. */
  readonly repository: string | undefined
  readonly home: string | undefined
  /** The data directory of the cluster, when it is configured; what must not be harmed is its tablespaces elsewhere. */
  readonly clusterDirectory?: string | undefined
}

/**
 * Refuses a directory that a restore must not fill or clear: one that is not what its path says (a link on the way), the
 * root of a file system, somebody's home, or a place that overlaps with the repository (R59). `what` begins the message.
 */
export async function checkPath(path: string, what: string, forbidden: ForbiddenPlaces): Promise<void> {
  if (!path.startsWith('/') || path.includes('\0')) throw unsafe(what, path, 'expected an absolute path')
  if (resolve(path) !== path)
    throw unsafe(what, path, `expected a plain path, such as ${quote(resolve(path))}`)
  if (path === '/') throw unsafe(what, path, 'it is the root directory')
  await refuseLinks(path, what)
  if (path === (await realOf(forbidden.home)))
    throw unsafe(what, path, 'it is the home directory of the user')
  const repository = await realOf(forbidden.repository)
  if (repository !== undefined && overlaps(path, repository)) {
    throw unsafe(what, path, `it overlaps with the repository in ${quote(repository)}`)
  }
  if (await isMountRoot(path)) throw unsafe(what, path, 'it is the root of a mounted file system')
}

/** Whether one directory is the other or contains it. */
export function overlaps(one: string, other: string): boolean {
  return one === other || one.startsWith(other + sep) || other.startsWith(one + sep)
}

/** The nearest directory on the way that exists. */
export async function nearestExisting(path: string): Promise<string> {
  for (let current = path; ; current = dirname(current)) {
    if (current === '/' || (await lookAt(current)) !== undefined) return current
  }
}

/** lstat, or undefined when there is nothing. */
export async function lookAt(path: string): Promise<Awaited<ReturnType<typeof lstat>> | undefined> {
  try {
    return await lstat(path)
  } catch (cause) {
    if (hasSystemCode(cause, 'ENOENT', 'ENOTDIR')) return undefined
    throw new OperationError('file-unreadable', `looking at ${quote(path)}: ${String(cause)}`, { cause })
  }
}

async function refuseLinks(path: string, what: string): Promise<void> {
  let current = '/'
  for (const name of path.split('/').slice(1)) {
    current = join(current, name)
    const found = await lookAt(current)
    if (found === undefined) return
    if (found.isSymbolicLink()) {
      const real = await realOf(path)
      throw unsafe(
        what,
        path,
        `${quote(current)} is a symbolic link${real === undefined ? '' : `, the real path is ${quote(real)}`}`,
      )
    }
  }
}

async function isMountRoot(path: string): Promise<boolean> {
  const [own, parent] = [await lookAt(path), await lookAt(dirname(path))]
  return own !== undefined && parent !== undefined && own.isDirectory() && own.dev !== parent.dev
}

async function realOf(path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined
  try {
    await stat(path)
    return await realpath(path)
  } catch {
    return resolve(path) // not there, or not to be seen: as it is written is all that can be compared
  }
}

function unsafe(what: string, path: string, why: string): OperationError {
  return new OperationError('path-unsafe', `${what} ${quote(path)}: ${why}`, {
    hint: 'Nothing was changed; name a directory of its own by its real path.',
  })
}
