import { readFile, rm, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'
import type { RunContext } from '../domain/run-context.ts'
import { sendSignal } from '../platform/child-process.ts'
import { hasSystemCode } from '../platform/durable-file.ts'
import { lookAt } from './check-path.ts'

/** A server that runs on a data directory. */
export interface RunningPostmaster {
  readonly pid: number
  /** It is one that a restore started to recover, and that outlived it. */
  readonly isOurs: boolean
  readonly socketDirectory: string
}

/** Begins the names of the socket directories of our own servers. */
export const socketDirectoryPrefix = 'holdfast-'
const stopTimeoutMs = 30_000
const pollIntervalMs = 50

/** The server that runs in this directory; undefined when none does. */
export async function findPostmaster(dataDirectory: string): Promise<RunningPostmaster | undefined> {
  // LOCK_FILE_LINE_* in utils/pidfile.h: the process id, negative for a single-user server; the fifth is the socket directory.
  const lines = (await readIfThere(join(dataDirectory, 'postmaster.pid'))).split('\n')
  const pid = Math.abs(Number.parseInt(lines[0] ?? '', 10))
  if (!(pid > 0) || !sendSignal(pid, 0)) return undefined
  // The number may have gone to another program since a crash. A server stands in its data directory.
  if ((await standsElsewhere(pid, dataDirectory)) || !sendSignal(pid, 0)) return undefined
  const socketDirectory = lines[4] ?? ''
  return { pid, socketDirectory, isOurs: basename(socketDirectory).startsWith(socketDirectoryPrefix) }
}

/** Ends a recovery server of ours whose restore was killed: at once where its directory is written anew, or cleanly. */
export async function stopOrphan(
  dataDirectory: string,
  how: 'at once' | 'cleanly',
  { clock, signal }: RunContext,
): Promise<void> {
  const deadline = clock.monotonic() + stopTimeoutMs
  let socketDirectory: string | undefined
  for (;;) {
    const postmaster = await findPostmaster(dataDirectory)
    if (postmaster === undefined) break
    if (!postmaster.isOurs || clock.monotonic() > deadline) throw serverRunning(dataDirectory, postmaster)
    socketDirectory = postmaster.socketDirectory
    sendSignal(postmaster.pid, how === 'cleanly' ? 'SIGINT' : 'SIGQUIT')
    await clock.sleep(pollIntervalMs, signal)
  }
  if (socketDirectory !== undefined) await removeSocketDirectory(socketDirectory)
}

/** The directory that mkdtemp made for the server, and nothing else that such a file could name. */
async function removeSocketDirectory(path: string): Promise<void> {
  const found = await lookAt(path)
  const isOurs = found?.isDirectory() === true && found.uid === process.getuid?.()
  if (isOurs && /^holdfast-[A-Za-z0-9]{6}$/.test(basename(path)))
    await rm(path, { recursive: true, force: true })
}

export function serverRunning(dataDirectory: string, { pid }: RunningPostmaster): OperationError {
  return new OperationError(
    'server-running',
    `restoring into ${quote(dataDirectory)}: a server runs there as process ${pid}`,
    {
      hint: 'Stop it with its service manager or "pg_ctl stop", or restore into another directory.',
    },
  )
}

/** By what the directories are, not by their paths: a mount shows one directory under two. */
async function standsElsewhere(pid: number, dataDirectory: string): Promise<boolean> {
  try {
    const own = await stat(dataDirectory, { bigint: true })
    const found = await stat(`/proc/${pid}/cwd`, { bigint: true })
    return found.ino !== own.ino || found.dev !== own.dev
  } catch {
    return false // another user's process, or it has just ended: then it proves nothing
  }
}

async function readIfThere(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    if (hasSystemCode(cause, 'ENOENT', 'ENOTDIR')) return ''
    throw new OperationError('file-unreadable', `reading ${quote(path)}: ${String(cause)}`, { cause })
  }
}
