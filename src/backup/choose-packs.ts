import type { PackReference } from '../repository/manifest-head.ts'

/** A pack of the parent, with what the new backup still needs of it. */
export interface UsedPack extends Pick<PackReference, 'rawBytes'> {
  /** Index into the parent's pack table. */
  readonly index: number
  readonly liveBytes: number
}

/**
 * Dead bytes in the packs of a backup, for each live one, before data is moved. A restore reads whole packs, so it reads at
 * most half as much again as it needs.
 */
const mostDeadShare = 0.5
/** A pack that is used more than this is left alone: moving would write more than it frees. */
const mostLiveShare = 0.75
/** What a backup moves at most, and besides twice what it has stored: that many bytes have died since the parent. */
const leastBudgetBytes = 64 * 1024 * 1024

/**
 * Which packs a backup empties by storing their live bytes anew: the least used first, until few enough dead bytes are
 * left or the budget is used up. In the order in which they should be moved.
 */
export function choosePacks(
  packs: readonly UsedPack[],
  { liveBytes, storedBytes }: { readonly liveBytes: number; readonly storedBytes: number },
): readonly UsedPack[] {
  const used = packs.filter((pack) => pack.liveBytes > 0)
  let dead = used.reduce((sum, pack) => sum + deadBytes(pack), 0)
  let budget = leastBudgetBytes + 2 * storedBytes
  const chosen: UsedPack[] = []
  for (const pack of used.toSorted((one, other) => liveShare(one) - liveShare(other))) {
    if (dead <= liveBytes * mostDeadShare || liveShare(pack) > mostLiveShare) break
    if (pack.liveBytes > budget) break
    budget -= pack.liveBytes
    dead -= deadBytes(pack)
    chosen.push(pack)
  }
  return chosen
}

const deadBytes = ({ rawBytes, liveBytes }: UsedPack): number => Math.max(0, rawBytes - liveBytes)
const liveShare = ({ rawBytes, liveBytes }: UsedPack): number => liveBytes / Math.max(1, rawBytes)
