import { surveyArchive } from '../archive/archive-inventory.ts'
import { listContents } from '../archive/archived-contents.ts'
import { parseArchiveFileName } from '../domain/archive-file-name.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { SegmentRun } from '../domain/wal-gaps.ts'
import type { CheckItem } from './check-item.ts'
import type { ClusterRepository } from './open-cluster.ts'

interface ArchiveEnd {
  readonly place: ClusterRepository
  /** The last row of segments of the newest timeline; undefined: nothing is archived. */
  readonly end: SegmentRun | undefined
}

/**
 * Warns of repositories whose WAL ends before that of another one: where not all must hold a segment, one may lack the newest.
 * What a repository lacks in the middle is a hole, which its own check tells.
 */
export async function checkWalLag(
  places: readonly ClusterRepository[],
  context: RunContext,
): Promise<readonly CheckItem[]> {
  const ends: ArchiveEnd[] = []
  for (const place of places) ends.push({ place, end: await readEnd(place, context) })
  const furthest = ends.reduce<ArchiveEnd | undefined>(
    (best, other) => (best === undefined || isFurther(other.end, best.end) ? other : best),
    undefined,
  )
  if (furthest?.end === undefined) return []
  const items: CheckItem[] = []
  for (const { place, end } of ends) {
    if (!isFurther(furthest.end, end)) continue
    // While they were listed, one after the other, the server has gone on.
    const newest = parseArchiveFileName(furthest.end.last)
    if ((await listContents(newest, place, context)).length > 0) continue
    items.push(lag(place, { end, furthest: furthest.end, where: furthest.place.name }))
  }
  return items
}

async function readEnd(place: ClusterRepository, context: RunContext): Promise<SegmentRun | undefined> {
  const { timelines } = await surveyArchive(place, context)
  return timelines.findLast(({ ranges }) => ranges.length > 0)?.ranges.at(-1)
}

function isFurther(one: SegmentRun | undefined, other: SegmentRun | undefined): boolean {
  if (one === undefined || other === undefined) return one !== undefined
  return one.timeline === other.timeline ? one.endLsn > other.endLsn : one.timeline > other.timeline
}

function lag(
  { name, cluster }: ClusterRepository,
  {
    end,
    furthest,
    where,
  }: { readonly end: SegmentRun | undefined; readonly furthest: SegmentRun; readonly where: string },
): CheckItem {
  const behind =
    end?.timeline === furthest.timeline
      ? `${(furthest.endLsn - end.endLsn) / BigInt(cluster.walSegmentSize)} segments behind`
      : 'on an older timeline than'
  const found = end === undefined ? 'it has no WAL, while' : `its WAL ends with ${end.last}, ${behind}`
  return {
    name: `WAL lag of repo ${name}`,
    state: 'warning',
    message: `${found} that of ${where}, which ends with ${furthest.last}`,
    hint: `Run "holdfast repo copy --from ${where} --to ${name}".`,
  }
}
