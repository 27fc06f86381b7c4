import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { quote } from '../domain/quote.ts'
import type { RunContext } from '../domain/run-context.ts'
import { lookAt } from './check-path.ts'
import { socketDirectoryPrefix } from './postmaster-file.ts'

/** The path of a Unix socket is short, so the usual place is taken when the configured one is long. */
export async function makeSocketDirectory(context: RunContext): Promise<string> {
  const parent = tmpdir().length < 60 ? tmpdir() : '/tmp'
  await removeStaleSocketDirectories(parent, context)
  const path = await mkdtemp(join(parent, socketDirectoryPrefix))
  await chmod(path, 0o700)
  return path
}

/** What a restore comes to does not depend on it. */
export async function removeSocketDirectory(path: string, { report }: RunContext): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true })
  } catch (error) {
    report({
      kind: 'warning',
      message: `removing ${quote(path)} failed: ${String(error)}; nothing needs it, remove it by hand`,
    })
  }
}

const staleAfterMs = 24 * 60 * 60 * 1000
const ownName = /^holdfast-[A-Za-z0-9]{6}$/
/** All that is there before a server has started. One that runs has its socket there, and changes the directory with it. */
const prepared = new Set(['hba.conf', 'ident.conf', 'postgresql.conf', 'control.sock'])

/** Those of restores that were killed before their server had started, a day ago or earlier. */
export async function removeStaleSocketDirectories(parent: string, { clock }: RunContext): Promise<void> {
  try {
    for (const name of (await readdir(parent)).filter((found) => ownName.test(found))) {
      const path = join(parent, name)
      const found = await lookAt(path)
      const isOurs = found?.isDirectory() === true && found.uid === process.getuid?.()
      if (!isOurs || Number(found.mtimeMs) > clock.now() - staleAfterMs) continue
      if ((await readdir(path)).every((file) => prepared.has(file))) await rm(path, { recursive: true })
    }
  } catch {
    // What stays is an empty folder that nothing reads, and the next restore tries again.
  }
}
