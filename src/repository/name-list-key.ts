import { toLsn, type Lsn } from '../domain/lsn.ts'
import { formatTimelineHex, isTimelineId, type TimelineId } from '../domain/timeline.ts'
import { nameListPrefix } from './object-keys.ts'

/** When a list of names was made, by the server's own reckoning. */
export interface NameListMoment {
  readonly timeline: TimelineId
  /** Where the WAL ended before the first name was read. */
  readonly lsn: Lsn
}

const keyTail = /^([0-9A-F]{8})\/([0-9A-F]{16})$/

/** They sort by timeline, then by LSN. */
export function nameListKey(clusterId: string, { timeline, lsn }: NameListMoment): string {
  const place = lsn.toString(16).toUpperCase().padStart(16, '0')
  return `${nameListPrefix(clusterId)}${formatTimelineHex(timeline)}/${place}`
}

/** Undefined for every other key. */
export function parseNameListKey(clusterId: string, key: string): NameListMoment | undefined {
  const prefix = nameListPrefix(clusterId)
  const [, hex = '', place = ''] = (key.startsWith(prefix) && keyTail.exec(key.slice(prefix.length))) || []
  const timeline = Number.parseInt(hex, 16)
  return isTimelineId(timeline) ? { timeline, lsn: toLsn(BigInt(`0x${place}`)) } : undefined
}
