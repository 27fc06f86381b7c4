import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'

/** The bytes of all files below the folder. */
export async function folderSize(folder: string): Promise<number> {
  let sum = 0
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) sum += (await stat(join(entry.parentPath, entry.name))).size
  }
  return sum
}
