import type { ManifestHead } from '../repository/manifest-head.ts'
import type { RestorePlace } from './inspect-target.ts'

/**
 * The content of tablespace_map: where recovery shall make the links of pg_tblspc lead to. Special characters are escaped
 * as do_pg_backup_start does it (access/transam/xlog.c). Empty when the backup has none.
 */
export function renderTablespaceMap(
  { tablespaceMap }: Pick<ManifestHead, 'tablespaceMap'>,
  places: readonly RestorePlace[],
): Uint8Array {
  if (tablespaceMap.length === 0) return tablespaceMap
  const lines = places
    .filter(({ root }) => root !== 0)
    .map(({ root, path }) => `${root} ${path.replaceAll(/[\n\r\\]/g, String.raw`\$&`)}\n`)
  return Buffer.from(lines.join(''))
}
