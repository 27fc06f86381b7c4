import { createHash } from 'node:crypto'
import { readdir, readFile, readlink } from 'node:fs/promises'
import { join, relative } from 'node:path'

/** Of each file and link below the folder, what it holds; of each folder that it is one. Our own marker is left out. */
export async function digestTree(folder: string): Promise<ReadonlyMap<string, string>> {
  const digests = new Map<string, string>()
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  for (const entry of entries) {
    const path = join(entry.parentPath, entry.name)
    if (entry.name.startsWith('holdfast-restore-in-progress')) continue
    digests.set(relative(folder, path), await describe(path, entry))
  }
  return digests
}

async function describe(
  path: string,
  entry: { isDirectory(): boolean; isSymbolicLink(): boolean },
): Promise<string> {
  if (entry.isDirectory()) return 'folder'
  if (entry.isSymbolicLink()) return `link to ${await readlink(path)}`
  const digest = createHash('sha256').update(await readFile(path))
  return digest.digest('hex')
}
