import { lstatSync } from 'node:fs'
import { fromBytePath } from '../platform/byte-path.ts'
import { OperationError } from '../domain/operation-error.ts'
import { type Scan } from './scan.ts'

/**
 * The server's own list of tablespaces at the start of the backup has the last word: one that is on it, was not copied and
 * still exists would be lost (R14). Each line of tablespace_map is the OID, a space and the place.
 */
export function refuseMissingTablespaces(tablespaceMap: Uint8Array, scan: Scan): void {
  const copied = new Set(scan.tablespaces.map(({ oid }) => oid))
  const listed = [
    ...Buffer.from(tablespaceMap)
      .toString('latin1')
      .matchAll(/^(\d+) /gm),
  ].map(([, oid]) => Number(oid))
  const lost = listed.find((oid) => !copied.has(oid) && hasLink(scan, oid))
  if (lost === undefined) return
  throw new OperationError(
    'file-unreadable',
    `backing up tablespace ${lost}: the server has it, but it was not copied`,
    {
      hint: 'Take the backup again; if this comes back, check the link in pg_tblspc.',
    },
  )
}

function hasLink(scan: Scan, oid: number): boolean {
  const link = fromBytePath(`${scan.rootPaths.get(0) ?? ''}/pg_tblspc/${oid}`)
  return lstatSync(link, { throwIfNoEntry: false }) !== undefined
}
