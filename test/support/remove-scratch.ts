import { rm } from 'node:fs/promises'
import { endProcessesAround } from './live-processes.ts'

/** Ends every process that lives in the folder, then removes it. Repeating it is harmless. */
export async function removeScratch(folder: string): Promise<void> {
  await endProcessesAround(folder)
  await rm(folder, { recursive: true, force: true, maxRetries: 5 })
}
