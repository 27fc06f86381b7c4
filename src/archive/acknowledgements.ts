import { mkdir, readdir, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { hasSystemCode } from '../platform/durable-file.ts'

/**
 * Acknowledgements of files that were archived before PostgreSQL asked for them, one empty file each, named like the
 * file. The archive_command takes one instead of starting us, when it is newer than the file itself.
 *
 * They are in pg_wal, so that they belong to one server and to no other, whatever its cluster is called, have the file
 * system's own idea of time, and go when pg_wal goes. An acknowledgement carries the time of the very version of the file
 * that was archived, and a millisecond: one that is written to afterwards is newer again, and is pushed again. It is not
 * synced: when a power loss takes it, its file is pushed once more and found archived. Never is it there before the
 * object is durable in every repository (R27).
 */
export const acknowledgementFolder = 'holdfast-ack'

/** In that folder: which repositories the acknowledgements are about (`repository-set.ts`). */
export const repositorySetFile = '.repositories'

/** In that folder, before the name of a repository that is behind (`repositories-behind.ts`). */
export const behindPrefix = '.behind-'

const marginSeconds = 0.001

/** Says that this version of the file is archived. */
export async function acknowledge(
  walFolder: string,
  { fileName, modifiedAtNs }: { readonly fileName: string; readonly modifiedAtNs: bigint },
): Promise<void> {
  const folder = join(walFolder, acknowledgementFolder)
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const unfinished = join(folder, `.${fileName}`)
  await writeFile(unfinished, '', { mode: 0o600 })
  const seconds = Number(modifiedAtNs / 1000n) / 1e6 + marginSeconds
  await utimes(unfinished, seconds, seconds)
  await rename(unfinished, join(folder, fileName))
}

/** The names that are acknowledged, after those for which `isWaiting` says no were removed. */
export async function tidyAcknowledgements(
  walFolder: string,
  isWaiting: (fileName: string) => boolean,
): Promise<ReadonlySet<string>> {
  const folder = join(walFolder, acknowledgementFolder)
  const kept = new Set<string>()
  for (const fileName of await namesIn(folder)) {
    if (isWaiting(fileName) && (await isNewer(join(folder, fileName), join(walFolder, fileName))))
      kept.add(fileName)
    else await rm(join(folder, fileName), { force: true })
  }
  return kept
}

async function isNewer(path: string, other: string): Promise<boolean> {
  try {
    const [one, two] = await Promise.all([stat(path, { bigint: true }), stat(other, { bigint: true })])
    return one.mtimeNs > two.mtimeNs
  } catch (error) {
    if (hasSystemCode(error, 'ENOENT')) return false
    throw error
  }
}

async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    const isOther = (name: string): boolean =>
      name.startsWith(repositorySetFile) || name.startsWith(behindPrefix)
    return (await readdir(folder)).filter((name) => !isOther(name))
  } catch (error) {
    if (hasSystemCode(error, 'ENOENT')) return []
    throw error
  }
}
