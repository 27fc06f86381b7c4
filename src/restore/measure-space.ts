import { lstat, readdir, stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { nearestExisting } from './check-path.ts'
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

/** Bytes that are allocated below a directory; links are not followed. */
async function usedBelow(path: string): Promise<number> {
  let used = 0
  for (const entry of await readdir(path, { withFileTypes: true, recursive: true })) {
    if (!entry.isFile()) continue
    const { blocks } = await lstat(join(entry.parentPath, entry.name))
    used += blocks * 512
  }
  return used
}
