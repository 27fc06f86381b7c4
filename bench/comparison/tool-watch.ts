import { allProcesses, cpuSecondsOf, memoryOf, parentOf, processTitle } from './process-tree.ts'

const sampleMs = 100

export interface ToolUsage {
  /** Peak of the sum over all its processes. */
  readonly memoryBytes: number
  /** Of the processes that nobody below `root` waits for; what they did after the last look is lost. */
  readonly strayCpuSeconds: number
}

/**
 * Watches all processes of a tool that a server starts for itself: those with the tool's folder in their command line.
 * Some leave the process that started them, so that their CPU time reaches no parent: these strays are added up here.
 */
export function watchTool(folder: string, root: number): { stop(): ToolUsage } {
  const strays = new Map<number, number>()
  let peak = 0
  const look = (): void => {
    const pids = allProcesses().filter((pid) => processTitle(pid).includes(folder))
    peak = Math.max(peak, memoryOf(pids))
    for (const pid of pids) {
      if (!isBelow(pid, root)) strays.set(pid, Math.max(strays.get(pid) ?? 0, cpuSecondsOf(pid).own))
    }
  }
  const timer = setInterval(look, sampleMs)
  return {
    stop: () => {
      clearInterval(timer)
      look()
      const strayCpuSeconds = [...strays.values()].reduce((sum, seconds) => sum + seconds, 0)
      return { memoryBytes: peak, strayCpuSeconds }
    },
  }
}

function isBelow(pid: number, root: number): boolean {
  for (let at = pid; at > 1; at = parentOf(at)) if (at === root) return true
  return false
}
