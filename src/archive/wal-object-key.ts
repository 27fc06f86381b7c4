import { classifyArchiveFileName, type ArchiveFileName } from '../domain/archive-file-name.ts'
import { formatTimelineHex } from '../domain/timeline.ts'
import { walPrefix } from '../repository/object-keys.ts'

/** One object of a cluster's archive: docs/formats/wal-archive.md. */
export interface WalObject {
  readonly name: ArchiveFileName
  /** 32 hexadecimal digits: names the content, and cannot be made without the repository's key. */
  readonly digest: string
  /** 0 is the one that makes the file archived; the others hold the content of large files. History files have only 0. */
  readonly part: number
}

const historyFolder = 'history/'
const writtenKey = /\/([^/]{1,64})-([0-9a-f]{32})(?:\.([0-9]{2}))?$/

/** Where all contents that were archived under this name are. */
export function archivedNamePrefix(clusterId: string, { kind, name, timeline }: ArchiveFileName): string {
  if (kind === 'history') return `${historyPrefix(clusterId)}${name}-`
  return `${archivedFolder(clusterId, { name, timeline })}${name}-`
}

export function walObjectKey(clusterId: string, { name, digest, part }: WalObject): string {
  const key = `${archivedNamePrefix(clusterId, name)}${digest}`
  return name.kind === 'history' ? key : `${key}.${part.toString().padStart(2, '0')}`
}

/** Where the segments are whose names differ in their last eight digits only: 4 GB of WAL, 256 of the usual size. */
export function archivedFolder(
  clusterId: string,
  { name, timeline }: Pick<ArchiveFileName, 'name' | 'timeline'>,
): string {
  return `${walPrefix(clusterId)}${formatTimelineHex(timeline)}/${name.slice(8, 16)}/`
}

/** Where the history files of all timelines are. */
function historyPrefix(clusterId: string): string {
  return `${walPrefix(clusterId)}${historyFolder}`
}

/** Undefined for a key that no archive of ours has. */
export function parseWalObjectKey(clusterId: string, key: string): WalObject | undefined {
  const [, file = '', digest = '', part = '0'] = writtenKey.exec(key) ?? []
  const name = classifyArchiveFileName(file)
  if (name === undefined) return undefined
  const object = { name, digest, part: Number(part) }
  return walObjectKey(clusterId, object) === key ? object : undefined
}
