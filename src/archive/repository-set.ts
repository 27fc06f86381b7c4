import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { RunContext } from '../domain/run-context.ts'
import { hasSystemCode } from '../platform/durable-file.ts'
import { acknowledgementFolder, repositorySetFile as setFile } from './acknowledgements.ts'
import type { ArchivePlace } from './archive-place.ts'

/**
 * Forgets acknowledgements that were made for other repositories than these, all that are configured, or when another
 * number of them had to hold a file: they would be taken for these too (R22). The shell that takes them knows no repositories. Gives whether acknowledgements may be left for
 * these now; never throws, for what is asked of archive-push is something else.
 */
export async function requireRepositorySet(
  walFolder: string,
  { places, required }: { readonly places: readonly ArchivePlace[]; readonly required: number },
  context: RunContext,
): Promise<boolean> {
  const folder = join(walFolder, acknowledgementFolder)
  const set = digestOf(places, required)
  try {
    if ((await readSet(folder)) === set) return true
    await removeAll(folder)
    await mkdir(folder, { recursive: true, mode: 0o700 })
    // Dying before the rename leaves an empty folder and no set, as at the beginning.
    await writeFile(join(folder, `${setFile}-${process.pid}`), set, { mode: 0o600 })
    await rename(join(folder, `${setFile}-${process.pid}`), join(folder, setFile))
    return true
  } catch (error) {
    warn(error, context)
    return false
  }
}

/** Forgets all of them, for when repositories may have come or gone: it costs that files are found archived once more. */
export async function forgetAcknowledgements(walFolder: string, context: RunContext): Promise<void> {
  try {
    await removeAll(join(walFolder, acknowledgementFolder))
  } catch (error) {
    warn(error, context)
  }
}

async function removeAll(folder: string): Promise<void> {
  // The set goes first: dying here leaves acknowledgements that are about nothing, and the next run removes those.
  await rm(join(folder, setFile), { force: true })
  // What begins with a dot is none yet: a run that is just making one would miss it.
  const names = (await namesIn(folder)).filter((name) => !name.startsWith('.'))
  for (const name of names) await rm(join(folder, name), { force: true })
}

async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder)
  } catch (error) {
    if (hasSystemCode(error, 'ENOENT')) return []
    throw error
  }
}

async function readSet(folder: string): Promise<string | undefined> {
  try {
    return await readFile(join(folder, setFile), 'utf8')
  } catch (error) {
    if (hasSystemCode(error, 'ENOENT')) return undefined
    throw error
  }
}

function digestOf(places: readonly ArchivePlace[], required: number): string {
  const ids = places.map(({ repository, cluster }) => `${repository.id} ${cluster.id}`)
  return createHash('sha256')
    .update([...ids, required].join('\n'))
    .digest('hex')
}

function warn(error: unknown, context: RunContext): void {
  const text = error instanceof Error ? error.message : String(error)
  context.report({
    kind: 'warning',
    message: `forgetting which files were archived ahead failed: ${text}`,
    hint: 'Remove the folder "holdfast-ack" in pg_wal by hand: what it says may be about other repositories.',
  })
}
