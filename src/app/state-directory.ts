import { constants, type Stats } from 'node:fs'
import { access, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { isSystemError } from '../platform/durable-file.ts'
import { homeDirectory, processEnvironment, type Environment } from '../platform/environment.ts'

/** The usual place for what a host remembers. `init` makes it for the user of the server when root runs it. */
export const sharedStateDirectory = '/var/lib/holdfast'

interface StateSurroundings {
  readonly variables: Environment
  readonly home: string | undefined
  readonly shared: string
}

/**
 * Where this host may remember what it has seen, the best first: the setting `state-directory` alone; else the shared
 * place when it is there and this user may write to it, and the user's own place. Nothing is ever kept in a home that
 * others may write to.
 */
export async function findStateDirectories(
  configured: string | undefined,
  surroundings: StateSurroundings = {
    variables: processEnvironment(),
    home: homeDirectory(),
    shared: sharedStateDirectory,
  },
): Promise<readonly string[]> {
  const { variables, home, shared } = surroundings
  if (configured !== undefined) return [configured]
  const own = await ownDirectory(variables, home)
  return [...((await isWritable(shared)) ? [shared] : []), ...(own === undefined ? [] : [own])]
}

async function ownDirectory(variables: Environment, home: string | undefined): Promise<string | undefined> {
  const named = variables['XDG_STATE_HOME'] ?? ''
  if (named.startsWith('/')) return join(named, 'holdfast')
  return home !== undefined && (await isOwn(home)) ? join(home, '.local/state/holdfast') : undefined
}

async function isWritable(directory: string): Promise<boolean> {
  try {
    await access(directory, constants.W_OK | constants.X_OK)
    return true
  } catch (error) {
    if (isSystemError(error)) return false
    throw error
  }
}

async function isOwn(directory: string): Promise<boolean> {
  const found = await lookAt(directory)
  return found !== undefined && found.isDirectory() && found.uid === process.geteuid?.() && !isOpen(found)
}

const isOpen = ({ mode }: Stats): boolean => (mode & 0o022) !== 0

async function lookAt(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path)
  } catch (error) {
    if (isSystemError(error)) return undefined
    throw error
  }
}
