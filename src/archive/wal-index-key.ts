import type { ArchiveFileName } from '../domain/archive-file-name.ts'
import { formatTimelineHex } from '../domain/timeline.ts'
import { walIndexPrefix } from '../repository/object-keys.ts'

/** Which content of which segment an index tells of. */
export interface WalIndexName {
  readonly name: ArchiveFileName
  /** As in the key of the content: wal-object-key.ts. */
  readonly digest: string
}

/** Only whole segments have one. */
export function walIndexKey(clusterId: string, { name, digest }: WalIndexName): string {
  const folder = `${formatTimelineHex(name.timeline)}/${name.name.slice(8, 16)}`
  return `${walIndexPrefix(clusterId)}${folder}/${name.name}-${digest}`
}
