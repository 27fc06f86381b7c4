import { classifyArchiveFileName, type ArchiveFileName } from '../domain/archive-file-name.ts'
import { formatTimelineHex } from '../domain/timeline.ts'
import { walIndexPrefix } from '../repository/object-keys.ts'

/** Which content of which segment an index tells of. */
export interface WalIndexName {
  readonly name: ArchiveFileName
  /** As in the key of the content: wal-object-key.ts. */
  readonly digest: string
}

const writtenKey = /\/([0-9A-F]{24})-([0-9a-f]{32})$/

/** Only whole segments have one. */
export function walIndexKey(clusterId: string, { name, digest }: WalIndexName): string {
  const folder = `${formatTimelineHex(name.timeline)}/${name.name.slice(8, 16)}`
  return `${walIndexPrefix(clusterId)}${folder}/${name.name}-${digest}`
}

/** Undefined for a key that no index of ours has. */
export function parseWalIndexKey(clusterId: string, key: string): WalIndexName | undefined {
  const [, file = '', digest = ''] = writtenKey.exec(key) ?? []
  const name = classifyArchiveFileName(file)
  if (name?.kind !== 'segment') return undefined
  return walIndexKey(clusterId, { name, digest }) === key ? { name, digest } : undefined
}
