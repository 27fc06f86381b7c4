import { opendir, rm, stat } from 'node:fs/promises'
import { getCompileCacheDir } from 'node:module'
import { basename, join } from 'node:path'

/** What a Node that is still in use has kept is made again when it is needed; it only takes longer. */
const unusedForMs = 7 * 24 * 60 * 60 * 1000
/** Our own code is some hundred files. */
const mostFiles = 2000

/**
 * Removes, from the folder that holds compiled code in a folder for each version of Node, what other versions have left
 * and, when there are too many files of this one, those too: of code that is gone, or empty ones of a full disk. To be
 * called when the code or the version has changed: then most of it is made anew anyway.
 */
export async function tidyCompiledCode(folder: string, current = getCompileCacheDir()): Promise<void> {
  for await (const entry of await opendir(folder)) {
    if (!entry.isDirectory()) continue
    const path = join(folder, entry.name)
    const isCurrent = current !== undefined && entry.name === basename(current)
    if (isCurrent ? await hasTooMany(path) : await isUnused(path))
      await rm(path, { recursive: true, force: true })
  }
}

async function hasTooMany(folder: string): Promise<boolean> {
  let count = 0
  for await (const _ of await opendir(folder)) {
    count += 1
    if (count > mostFiles) return true
  }
  return false
}

/** By the youngest change in it, relative to the folder above, which changes now. */
async function isUnused(folder: string): Promise<boolean> {
  const [own, above] = await Promise.all([stat(folder), stat(join(folder, '..'))])
  return above.mtimeMs - own.mtimeMs > unusedForMs
}
