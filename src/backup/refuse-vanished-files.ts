import { readdirSync } from 'node:fs'
import { type BytePath, fromBytePath, showBytePath } from '../platform/byte-path.ts'
import { hasSystemCode } from '../platform/durable-file.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { CopiedFiles } from './copied-files.ts'
import { type Scan, type ScannedFile } from './scan.ts'

const indispensable = /(?:^|\/)(?:PG_VERSION|pg_filenode\.map)$/
/** A folder that is being removed loses a file in this time, whatever the disk. */
const removalPatienceMs = 5000
const removalPollMs = 100

/**
 * A relation that is gone when it is to be read was dropped, and the WAL says so (R7). A file without which a database
 * or the cluster cannot start must not be gone, unless its whole folder went with it: then the database was dropped. A
 * large one takes its time: as long as its folder gets emptier, its end is waited for.
 */
export async function refuseVanishedFiles(
  scan: Scan,
  copied: CopiedFiles,
  context: RunContext,
): Promise<void> {
  for (const [index, file] of scan.files.entries()) {
    if (!copied.hasVanished(index) || !indispensable.test(file.path)) continue
    const place = placeOf(file, scan)
    if (await isRemoved(place.slice(0, place.lastIndexOf('/')), context)) continue
    throw new OperationError('file-unreadable', `backing up ${showBytePath(place)}: the file has vanished`, {
      hint: 'Nothing but a dropped database removes this file; find out who did, then take the backup again.',
    })
  }
}

async function isRemoved(folder: BytePath, { clock, signal }: RunContext): Promise<boolean> {
  let fewest = Infinity
  for (let deadline = 0; ;) {
    const count = countEntries(folder)
    if (count === undefined) return true
    if (count < fewest) deadline = clock.monotonic() + removalPatienceMs
    else if (clock.monotonic() >= deadline) return false
    fewest = Math.min(fewest, count)
    await clock.sleep(removalPollMs, signal)
  }
}

function countEntries(folder: BytePath): number | undefined {
  try {
    return readdirSync(fromBytePath(folder)).length
  } catch (cause) {
    if (hasSystemCode(cause, 'ENOENT')) return undefined
    throw new OperationError('file-unreadable', `backing up ${showBytePath(folder)}: it cannot be listed`, {
      cause,
    })
  }
}

/** Says of which files the end was left out. A log is like that; anything else should be looked at. */
export function warnOfCutFiles(scan: Scan, copied: CopiedFiles, { report }: RunContext): void {
  for (const index of copied.cut) {
    const file = scan.files[index]
    if (file === undefined) continue
    report({
      kind: 'warning',
      message: `${showBytePath(placeOf(file, scan))} grew while it was copied: its end is not in the backup`,
    })
  }
}

function placeOf({ root, path }: ScannedFile, scan: Scan): BytePath {
  return `${scan.rootPaths.get(root) ?? ''}/${path}`
}
