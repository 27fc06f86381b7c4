import { statfs } from 'node:fs/promises'
import { formatByteSize } from '../domain/byte-size.ts'
import { OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'
import type { RunContext } from '../domain/run-context.ts'
import { makeOwnedFolder } from '../platform/owned-folder.ts'

/** A private folder for files that programs of PostgreSQL want as files, not as a stream. Disposing it removes them. */
export interface Spool extends AsyncDisposable {
  readonly path: string
  /** What may be in it at a time: half of what was free when it was made, for others write to this disk, too. */
  readonly mostBytes: number
}

/** Where it is made, and how many processes work there at once. */
export interface Spooling {
  readonly parent: string
  readonly jobs: number
}

/** And how many bytes there are to be kept. */
export interface LoadSpooling extends Spooling {
  readonly sizeBytes: number
}

/** Removes what killed processes have left there first. Throws `file-unwritable`. */
export async function makeSpool(parent: string, context: RunContext): Promise<Spool> {
  const hint =
    'Name a directory that may be written to with "--sandbox-directory" or the setting "sandbox-directory".'
  await using opened = new AsyncDisposableStack()
  const folder = opened.use(await makeOwnedFolder({ parent, kind: 'spool', hint }, context))
  const { bavail, bsize } = await statfs(folder.path)
  opened.move()
  return { ...folder, mostBytes: Math.floor((bavail * bsize) / 2) }
}

/** Throws `no-space` when so much is more than may be in it. */
export function requireSpoolRoom(
  { path, mostBytes }: Omit<Spool, keyof AsyncDisposable>,
  bytes: number,
): void {
  if (bytes <= mostBytes) return
  throw new OperationError(
    'no-space',
    `keeping files of a dump in ${quote(path)}: expected at most ${formatByteSize(mostBytes)}, half of what was free, found ${formatByteSize(bytes)}`,
    {
      hint: 'Name another directory with "--sandbox-directory", or use the custom format with one job, which needs no files.',
    },
  )
}
