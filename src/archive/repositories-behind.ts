import { mkdir, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { RunContext } from '../domain/run-context.ts'
import { hasSystemCode } from '../platform/durable-file.ts'
import { acknowledgementFolder, behindPrefix } from './acknowledgements.ts'

/** How long a repository that others were not kept waiting for is left alone. */
const leftAloneForMs = 60_000

/**
 * Repositories that did not store a file, or not in time, while enough others did: one empty file each, beside the
 * acknowledgements. Each start of archive-push leaves them alone for a while, for none of them may keep PostgreSQL waiting
 * with every segment. Gives the names of those.
 */
export async function readBehind(
  walFolder: string,
  { clock }: Pick<RunContext, 'clock'>,
): Promise<ReadonlySet<string>> {
  const folder = join(walFolder, acknowledgementFolder)
  const behind = new Set<string>()
  try {
    for (const file of await readdir(folder)) {
      if (!file.startsWith(behindPrefix)) continue
      const { mtimeMs } = await stat(join(folder, file))
      const sinceMs = clock.now() - mtimeMs
      if (sinceMs >= 0 && sinceMs < leftAloneForMs) behind.add(file.slice(behindPrefix.length))
    }
  } catch (error) {
    // Then all of them are tried, which costs time only.
    if (!hasSystemCode(error, 'ENOENT')) return new Set()
  }
  return behind
}

/** From now on all of them are tried again: for whoever wants to know how they are. */
export async function forgetBehind(walFolder: string): Promise<void> {
  const folder = join(walFolder, acknowledgementFolder)
  const files = await readdir(folder).catch(() => [])
  for (const file of files) {
    // What stays is older than a minute soon.
    if (file.startsWith(behindPrefix)) await rm(join(folder, file), { force: true }).catch(() => undefined)
  }
}

/** Notes which repositories stay behind, and that others do not any more. What cannot be noted costs time only. */
export async function noteBehind(
  walFolder: string,
  { behind, stored }: { readonly behind: readonly string[]; readonly stored: readonly string[] },
  { clock }: Pick<RunContext, 'clock'>,
): Promise<void> {
  const folder = join(walFolder, acknowledgementFolder)
  try {
    if (behind.length > 0) await mkdir(folder, { recursive: true, mode: 0o700 })
    for (const name of behind) {
      const path = join(folder, `${behindPrefix}${name}`)
      await writeFile(path, '', { mode: 0o600 })
      await utimes(path, clock.now() / 1000, clock.now() / 1000)
    }
    for (const name of stored) await rm(join(folder, `${behindPrefix}${name}`), { force: true })
  } catch {
    // They are tried again with the next file.
  }
}
