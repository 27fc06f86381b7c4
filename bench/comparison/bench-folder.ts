import { chown, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Scratch } from '../../test/support/scratch.ts'
import { isRoot, type ServerUser } from '../../test/support/server-user.ts'

/** Where the clusters are kept from one run to the next, and a scratch folder that goes away at the end of this one. */
export interface BenchFolder {
  readonly path: string
  readonly scratch: Scratch
  readonly user: ServerUser
  /** Makes a folder in it, whether it is there or not, that belongs to the servers' user. */
  makeFolder(name: string): Promise<string>
}

export async function openBenchFolder(path: string, scratch: Scratch): Promise<BenchFolder> {
  const { user } = scratch
  const give = async (folder: string): Promise<string> => {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    if (isRoot()) await chown(folder, user.uid, user.gid)
    return folder
  }
  await give(path)
  return { path, scratch, user, makeFolder: (name) => give(join(path, name)) }
}
