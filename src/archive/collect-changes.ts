import type { RunContext } from '../domain/run-context.ts'
import type { Lsn } from '../domain/lsn.ts'
import type { TimelineId } from '../domain/timeline.ts'
import type { TimelineHistory } from '../domain/timeline-history.ts'
import type { ChangedBlocks } from '../wal/changed-blocks.ts'
import type { ArchivePlace } from './archive-place.ts'

export interface ChangesRequest {
  readonly history: TimelineHistory
  readonly from: { readonly timeline: TimelineId; readonly lsn: Lsn }
  readonly to: Lsn
  readonly walFolder: string
}
export type CollectedChanges =
  | {
      readonly kind: 'proven'
      readonly changes: ChangedBlocks
      readonly walBytes: number
      readonly segmentCount: number
      readonly indexedCount: number
    }
  | { readonly kind: 'unproven'; readonly reason: string }
export async function collectChanges(
  _request: ChangesRequest,
  _place: ArchivePlace,
  _context: RunContext,
): Promise<CollectedChanges> {
  await Promise.resolve()
  return { kind: 'unproven', reason: 'this version does not read it out of the WAL yet' }
}
