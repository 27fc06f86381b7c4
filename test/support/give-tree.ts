import { lchown, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { hasSystemCode } from '../../src/platform/durable-file.ts'
import { isRoot } from './server-user.ts'
import type { ServerUser } from './server-user.ts'

/** Gives a folder and all that is in it, hidden files too, to the user that runs the servers. What vanishes meanwhile is not missed. */
export async function giveTree(folder: string, { uid, gid }: ServerUser): Promise<void> {
  if (!isRoot()) return
  await lchown(folder, uid, gid)
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    const given = entry.isDirectory() ? giveTree(path, { name: '', uid, gid }) : lchown(path, uid, gid)
    await given.catch((error: unknown) => {
      if (!hasSystemCode(error, 'ENOENT')) throw error
    })
  }
}
