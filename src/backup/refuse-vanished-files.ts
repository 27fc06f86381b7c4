import { existsSync } from 'node:fs'
import { type BytePath, fromBytePath, showBytePath } from '../platform/byte-path.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { CopiedFiles } from './copied-files.ts'
import { type Scan, type ScannedFile } from './scan.ts'

const indispensable = /(?:^|\/)(?:PG_VERSION|pg_filenode\.map)$/

/**
 * A relation that is gone when it is to be read was dropped, and the WAL says so (R7). A file without which a database
 * or the cluster cannot start must not be gone, unless its whole folder went with it: then the database was dropped.
 */
export function refuseVanishedFiles(scan: Scan, copied: CopiedFiles): void {
  const lost = scan.files.find((file, index) => copied.hasVanished(index) && isIndispensable(file, scan))
  if (lost === undefined) return
  const place = placeOf(lost, scan)
  throw new OperationError('file-unreadable', `backing up ${showBytePath(place)}: the file has vanished`, {
    hint: 'Nothing but a dropped database removes this file; find out who did, then take the backup again.',
  })
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

function isIndispensable(file: ScannedFile, scan: Scan): boolean {
  if (!indispensable.test(file.path)) return false
  const place = placeOf(file, scan)
  return existsSync(fromBytePath(place.slice(0, place.lastIndexOf('/'))))
}

function placeOf({ root, path }: ScannedFile, scan: Scan): BytePath {
  return `${scan.rootPaths.get(root) ?? ''}/${path}`
}
