import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'

/** Which process this is, so that another one on the same machine can tell for certain whether it still lives. */
export interface ProcessIdentity {
  readonly host: string
  /** Changes with every boot of the machine. */
  readonly bootId: string
  /** Process numbers mean something only inside their namespace. */
  readonly pidNamespace: string
  readonly pid: number
  /** Clock ticks since boot: tells a process from a later one with the same number. */
  readonly startTicks: string
}

/** The identity of this process, out of /proc. */
export function readProcessIdentity(): ProcessIdentity {
  return {
    host: hostname(),
    bootId: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
    pidNamespace: readlinkSync('/proc/self/ns/pid'),
    pid: process.pid,
    startTicks: startTicksOf(process.pid) ?? '',
  }
}

/**
 * True only when the process certainly does not live any more, as seen from `self`: the same boot of the same machine, and
 * its process table has no such process. Anything else is uncertain: two machines may have the same name, so another boot
 * proves nothing, and where other users' processes are hidden an absent one does not either.
 */
export function isProvablyDead(identity: ProcessIdentity, self: ProcessIdentity): boolean {
  if (identity.bootId !== self.bootId || identity.pidNamespace !== self.pidNamespace) return false
  try {
    const found = startTicksOf(identity.pid)
    return found === undefined ? startTicksOf(1) !== undefined : found !== identity.startTicks
  } catch {
    return false // what cannot be looked at is not proven
  }
}

/**
 * As `isProvablyDead`, for what was written to a directory of this machine only, such as a data directory: there another
 * boot under the same host name is an earlier one, and its processes are gone. Not for what several machines share.
 */
export function isGoneFromThisMachine(identity: ProcessIdentity, self: ProcessIdentity): boolean {
  if (identity.host === self.host && identity.bootId !== self.bootId) return true
  return isProvablyDead(identity, self)
}

/**
 * When a process began; undefined when there is none of that number, or it is dead and waits for its parent. Field 22 of
 * /proc/PID/stat (proc(5)); the command's name before it may contain anything, so count from its ")".
 */
function startTicksOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    const [state, ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return state === 'Z' ? undefined : fields[18] // a zombie does nothing any more
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'ENOENT' || code === 'ESRCH') return undefined // no such process: that is the answer
    throw error
  }
}
