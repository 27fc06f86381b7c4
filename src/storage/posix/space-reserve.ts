import { readdir, stat, unlink, writeFile } from 'node:fs/promises'
import { entryOf, hasSystemCode, makeFolderDurably } from '../../platform/durable-file.ts'
import { randomBytes } from '../../platform/random.ts'
import { openSubfolder } from './folder-chain.ts'
import { openRoot } from './store-root.ts'

/** The folder in the root that keeps space. Its name cannot be a key. */
const reserveFolderName = '.reserve'

/**
 * Space that is given up when the disk is full, so that what frees space can still write its few small objects (S1): a
 * lease, a catalogue entry. Several files, because a disk may be out of inodes instead.
 */
const reserveFiles = 8
const reserveFileBytes = 512 * 1024

/** Takes the space that is missing from the reserve. A disk that has too little is no error: then less is kept. */
export async function fillReserve(
  rootPath: string,
  { folder, file }: { readonly folder: number; readonly file: number },
): Promise<void> {
  try {
    await makeFolderDurably(`${rootPath}/${reserveFolderName}`, folder)
    await using root = await openRoot(rootPath)
    await using reserve = await openSubfolder(root, reserveFolderName)
    if (reserve === undefined) return
    const present = new Set(await readdir(entryOf(reserve, '')))
    for (let number = 0; number < reserveFiles; number += 1) {
      const name = number.toString().padStart(2, '0')
      const path = entryOf(reserve, name)
      if (present.has(name) && (await stat(path)).size === reserveFileBytes) continue
      // Random, so that no file system compresses it away. What a full disk has cut short is written again.
      await writeFile(path, randomBytes(reserveFileBytes), { mode: file, flush: true })
    }
  } catch (error) {
    if (!hasSystemCode(error, 'ENOSPC', 'EDQUOT', 'ENOENT')) throw error
  }
}

/** Gives the reserve up. True when there was something to give. */
export async function releaseReserve(rootPath: string): Promise<boolean> {
  await using root = await openRoot(rootPath)
  await using reserve = await openSubfolder(root, reserveFolderName)
  if (reserve === undefined) return false
  const names = await readdir(entryOf(reserve, ''))
  for (const name of names) {
    try {
      await unlink(entryOf(reserve, name))
    } catch (error) {
      if (!hasSystemCode(error, 'ENOENT')) throw error // somebody else gives it up too
    }
  }
  await reserve.sync()
  return names.length > 0
}
