import { readFileSync, writeFileSync } from 'node:fs'

/** Which kinds of memory a core dump holds (core(5)): none, and what Linux begins every process with. */
const nothing = '0'
const usual = '0x33'

/**
 * Keeps the memory of this process, and with it keys and passwords, out of core dumps. Children inherit that. Where there
 * is no such switch nothing happens: what the operator has configured for core dumps holds then.
 */
export function keepMemoryOutOfCoreDumps(): void {
  setFilter('self', nothing)
}

/**
 * For a program that we have just started and that is none of ours: its core dumps, by which others look for its bugs, are
 * complete as usual. It may have begun to run already; what it starts later inherits this.
 */
export function allowCoreDumpsOf(pid: number): void {
  if (isNothing()) setFilter(pid.toString(), usual)
}

function isNothing(): boolean {
  try {
    return Number.parseInt(readFileSync('/proc/self/coredump_filter', 'latin1'), 16) === 0
  } catch {
    return false // then nothing was switched off either
  }
}

function setFilter(process: string, filter: string): void {
  try {
    writeFileSync(`/proc/${process}/coredump_filter`, filter)
  } catch {
    // Not Linux, no /proc, or not allowed there: it is a precaution beside those of the operator.
  }
}
