import type { Dirent } from 'node:fs'
import { readdir, stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { hasSystemCode } from '../platform/durable-file.ts'
import { lookAt, nearestExisting } from './check-path.ts'
import type { RestorePlace } from './inspect-target.ts'

/** A file system that a restore writes to. */
export interface SpaceNeed {
  /** The places on it. */
  readonly paths: readonly string[]
  readonly neededBytes: number
  /** Free for us, and what the places hold already. */
  readonly availableBytes: number
}

/** Compares what each place needs with what its file system has. */
export async function measureSpace(
  places: readonly RestorePlace[],
  neededOf: (root: number) => number,
): Promise<readonly SpaceNeed[]> {
  const byDevice = new Map<number, { paths: string[]; neededBytes: number; availableBytes: number }>()
  for (const { path, root, state } of places) {
    const existing = await nearestExisting(path)
    const { dev } = await stat(existing)
    let need = byDevice.get(dev)
    if (need === undefined) {
      const { bavail, bsize } = await statfs(existing)
      need = { paths: [], neededBytes: 0, availableBytes: bavail * bsize }
      byDevice.set(dev, need)
    }
    need.paths.push(path)
    need.neededBytes += neededOf(root)
    if (state !== 'vacant') need.availableBytes += await usedBelow(path)
  }
  return [...byDevice.values()]
}

/** Bytes that are allocated below a directory; links are not followed. A server of ours may still be at work there. */
async function usedBelow(path: string): Promise<number> {
  let used = 0
  const folders = [path]
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    for (const entry of await entriesOf(folder)) {
      const entryPath = join(folder, entry.name)
      if (entry.isDirectory()) folders.push(entryPath)
      else if (entry.isFile()) used += Number((await lookAt(entryPath))?.blocks ?? 0) * 512
    }
  }
  return used
}

async function entriesOf(folder: string): Promise<readonly Dirent[]> {
  try {
    return await readdir(folder, { withFileTypes: true })
  } catch (error) {
    if (hasSystemCode(error, 'ENOENT')) return []
    throw error
  }
}
