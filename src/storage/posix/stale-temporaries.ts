import { lstat, readdir, unlink } from 'node:fs/promises'
import type { RunContext } from '../../domain/run-context.ts'
import { entryOf, hasSystemCode } from '../../platform/durable-file.ts'
import { openSubfolder } from './folder-chain.ts'
import { openRoot, temporaryFolderName } from './store-root.ts'

/** No object takes so long to write. */
export const staleAfterMs = 24 * 60 * 60 * 1000

/** True for the names that `freshName` gives: anything else in the folder is not ours to remove. */
export function isTemporaryName(name: string): boolean {
  return /^[0-9a-f]{32}$/.test(name)
}

/**
 * Removes temporary files that writers left behind when they died, by their age. Should the clock be wrong and a writer
 * still busy, its write fails, and nothing that was stored is touched.
 */
export async function removeStaleTemporaries(
  rootPath: string,
  { signal, clock }: Pick<RunContext, 'signal' | 'clock'>,
): Promise<void> {
  await using root = await openRoot(rootPath)
  await using folder = await openSubfolder(root, temporaryFolderName)
  if (folder === undefined) return
  const names = await readdir(entryOf(folder, ''))
  for (const name of names) {
    if (!isTemporaryName(name)) continue
    signal.throwIfAborted()
    await removeIfOlder(entryOf(folder, name), clock.now() - staleAfterMs)
  }
}

async function removeIfOlder(path: string, bornBeforeMs: number): Promise<void> {
  try {
    const { mtimeMs } = await lstat(path)
    if (mtimeMs < bornBeforeMs) await unlink(path)
  } catch (error) {
    // Its writer has finished meanwhile, or somebody else has removed it.
    if (!hasSystemCode(error, 'ENOENT')) throw error
  }
}
