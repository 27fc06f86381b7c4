import { chown, mkdir, rm } from 'node:fs/promises'
import { isRoot, type ServerUser } from '../../test/support/server-user.ts'

/** Makes the folder anew: it is there, belongs to the servers' user and has nothing in it. */
export async function emptyFolder(path: string, user: ServerUser): Promise<string> {
  await rm(path, { recursive: true, force: true })
  await mkdir(path, { recursive: true, mode: 0o700 })
  if (isRoot()) await chown(path, user.uid, user.gid)
  return path
}
