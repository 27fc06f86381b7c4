import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

interface Postmaster {
  readonly pid: number
  /** The System V segment that a killed postmaster leaves behind. */
  readonly sharedMemoryId: string | undefined
}

/** Time that a server gets for an immediate shutdown before it is killed. */
const shutdownMs = 3000
/** Bound on the killing: a process in uninterruptible sleep would otherwise hold us for ever. */
const killMs = 10_000

/** The processes that work in `folder` or below: a PostgreSQL process always works in its data directory. */
export function processesIn(folder: string): number[] {
  return allProcesses().filter((pid) => isWithin(workingDirectoryOf(pid), folder))
}

/** As `processesIn`, and also those that name the folder in their arguments. Never the caller itself. */
export function processesAround(folder: string): number[] {
  return allProcesses().filter(
    (pid) => isWithin(workingDirectoryOf(pid), folder) || argumentsOf(pid).includes(folder),
  )
}

/** Ends all of `processesAround(folder)`: servers by an immediate shutdown first, so that they leave nothing behind. */
export async function endProcessesAround(folder: string): Promise<void> {
  const postmasters = postmastersIn(folder)
  for (const { pid } of postmasters) signalIfAlive(pid, 'SIGQUIT')
  const deadline = performance.now() + shutdownMs
  while (postmastersIn(folder).length > 0 && performance.now() < deadline) await sleep(5)
  await killAll(() => processesAround(folder))
  postmasters.forEach(releaseSharedMemory)
}

/** SIGKILL for a server and all its children, as in a crash of the host, but without leaking its shared memory. */
export async function killServerIn(dataDirectory: string): Promise<void> {
  const postmasters = postmastersIn(dataDirectory)
  await killAll(() => processesIn(dataDirectory))
  postmasters.forEach(releaseSharedMemory)
}

async function killAll(find: () => readonly number[]): Promise<void> {
  const deadline = performance.now() + killMs
  for (let pids = find(); pids.length > 0; pids = find()) {
    if (performance.now() > deadline) throw new Error(`these processes survive SIGKILL: ${pids.join(', ')}`)
    for (const pid of pids) signalIfAlive(pid, 'SIGKILL')
    await sleep(5)
  }
}

/** A postmaster's working directory holds a postmaster.pid with its own pid, so a recycled pid is never taken for one. */
function postmastersIn(folder: string): Postmaster[] {
  return processesIn(folder).flatMap((pid) => {
    const lines = readIfPossible(join(workingDirectoryOf(pid), 'postmaster.pid')).split('\n')
    if (lines[0] !== String(pid)) return []
    // Line 7 is "key id": LOCK_FILE_LINE_SHMEM_KEY in miscadmin.h.
    return [{ pid, sharedMemoryId: lines[6]?.trim().split(/\s+/)[1] }]
  })
}

/** A failure means that the server has removed the segment itself, which is what we want. */
function releaseSharedMemory({ sharedMemoryId }: Postmaster): void {
  if (sharedMemoryId !== undefined) spawnSync('/usr/bin/ipcrm', ['-m', sharedMemoryId], { stdio: 'ignore' })
}

function allProcesses(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => pid !== process.pid)
}

/** '' when the process is gone, a zombie, or somebody else's. */
function workingDirectoryOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`)
  } catch {
    return ''
  }
}

function argumentsOf(pid: number): string {
  return readIfPossible(`/proc/${pid}/cmdline`)
}

function readIfPossible(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}

/** The kernel appends " (deleted)" to a working directory that was removed. */
function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(`${folder}/`) || path === `${folder} (deleted)`
}

function signalIfAlive(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}
