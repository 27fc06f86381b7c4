import type { ArchiveInventory } from '../archive/archive-inventory.ts'
import type { ArchivePlace } from '../archive/archive-place.ts'
import { toLsn } from '../domain/lsn.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { Instant } from '../domain/target-time.ts'
import { findEdge } from '../history/find-edge.ts'
import type { RecoveryWindow } from './recovery-window.ts'

/** A window, and the first thing in it that a recovery can stop behind. */
export interface DescribedWindow extends RecoveryWindow {
  /** The first commit behind the end of its oldest backup; undefined when its first segments hold none. */
  readonly firstCommitAt: Instant | undefined
}

/** A server that archives is seldom idle for longer. */
const mostSegments = 8n

/** Looks for the first commit of a window in the indexes of its first segments, and nowhere else. */
export async function describeWindow(
  window: RecoveryWindow,
  { inventory, place }: { readonly inventory: ArchiveInventory; readonly place: ArchivePlace },
  context: RunContext,
): Promise<DescribedWindow> {
  const { timeline, oldest, toLsn: end } = window
  const size = BigInt(place.cluster.walSegmentSize)
  const from = (oldest.stopLsn / size) * size
  const furthest = from + mostSegments * size
  const to = end === undefined || end > furthest ? furthest : ((end + size - 1n) / size) * size
  const request = {
    history: inventory.histories.get(timeline) ?? { timeline, ancestors: [] },
    from: toLsn(from),
    to: toLsn(to),
    since: oldest.stopLsn,
    hasSegment: inventory.hasSegment,
    isKept: () => false,
  }
  const { firstLost: first } = await findEdge(request, place, context)
  return { ...window, firstCommitAt: first?.time }
}
