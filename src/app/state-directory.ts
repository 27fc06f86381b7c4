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
 * Where this host remembers what it has seen: the setting `state-directory`; else the shared place when it is there and
 * this user may write to it; else the user's own place. Undefined when there is none: nothing is ever kept in a home that
 * others may write to.
 */
export async function findStateDirectory(
  configured: string | undefined,
  surroundings: StateSurroundings = {
    variables: processEnvironment(),
    home: homeDirectory(),
    shared: sharedStateDirectory,
  },
): Promise<string | undefined> {
  const { variables, home, shared } = surroundings
  if (configured !== undefined) return configured
  if (await isWritable(shared)) return shared
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
