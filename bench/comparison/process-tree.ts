import { readdirSync, readFileSync } from 'node:fs'

export function withDescendants(pid: number): number[] {
  const children = readTasks(pid).flatMap((task) =>
    readOrNothing(`/proc/${pid}/task/${task}/children`)
      .split(' ')
      .filter((word) => word !== '')
      .map(Number),
  )
  return [pid, ...children.flatMap(withDescendants)]
}

export function allProcesses(): number[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
}

/** Its command line, with spaces between the words. */
export function processTitle(pid: number): string {
  return readOrNothing(`/proc/${pid}/cmdline`).replaceAll('\0', ' ')
}

/** 0: it has none, or has ended. */
export function parentOf(pid: number): number {
  return statFields(pid)[4 - 3] ?? 0
}

/** User and system seconds of a process and of the children that it has waited for. */
export function cpuSecondsOf(pid: number): { readonly own: number; readonly children: number } {
  const fields = statFields(pid)
  const ticks = (field: number): number => fields[field - 3] ?? 0
  return { own: (ticks(14) + ticks(15)) / ticksPerSecond, children: (ticks(16) + ticks(17)) / ticksPerSecond }
}

/** Of /proc/PID/stat, from number 3 on; the first two, a name that may hold anything among them, are left out. */
function statFields(pid: number): number[] {
  const stat = readOrNothing(`/proc/${pid}/stat`)
  return stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number)
}

/** USER_HZ: 100 on every architecture that Node runs on. */
const ticksPerSecond = 100

/** The sum of their proportional set sizes. */
export function memoryOf(pids: readonly number[]): number {
  const kilobytes = pids.map(
    (pid) => /^Pss:\s+(\d+) kB/m.exec(readOrNothing(`/proc/${pid}/smaps_rollup`))?.[1],
  )
  return kilobytes.reduce((sum, size) => sum + Number(size ?? 0) * 1024, 0)
}

function readTasks(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`)
  } catch {
    // It has ended.
    return []
  }
}

/** Processes end while they are looked at: what is gone counts as nothing. */
function readOrNothing(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
