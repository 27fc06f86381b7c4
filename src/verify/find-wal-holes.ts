import type { ArchiveSurvey } from '../archive/archive-inventory.ts'
import { archivedNamePrefix } from '../archive/wal-object-key.ts'
import { historyFileName, parseArchiveFileName } from '../domain/archive-file-name.ts'
import { parseSegmentName, segmentRange, type WalSegmentName } from '../domain/wal-segment.ts'
import type { ClusterRecord } from '../repository/cluster-record.ts'
import { costOfHistory, costOfWal, type CostFacts, type DamageCost } from './damage-cost.ts'
import type { Finding } from './object-problem.ts'

export interface CostedFinding extends Finding {
  readonly cost: DamageCost
  /** Under one name. */
  readonly contentCount?: number
}

type Cluster = Pick<ClusterRecord, 'id' | 'walSegmentSize'>

/**
 * What the archive lacks that listed backups need, and names under which it holds several contents. What is missing and
 * needed by nothing is no damage: retention has removed it, or it was never archived.
 */
export function findWalHoles(
  survey: ArchiveSurvey,
  { cluster, facts }: { readonly cluster: Cluster; readonly facts: CostFacts },
): readonly CostedFinding[] {
  const found = new Map<string, CostedFinding>()
  const all = [
    ...gapsBetween(survey, cluster, facts),
    ...missingOwnWal(survey, cluster, facts),
    ...severalContents(survey, cluster, facts),
    ...missingHistories(survey, cluster, facts),
  ]
  for (const finding of all) if (!found.has(finding.key)) found.set(finding.key, finding)
  return [...found.values()]
}

function gapsBetween(
  { timelines }: ArchiveSurvey,
  cluster: Cluster,
  facts: CostFacts,
): readonly CostedFinding[] {
  return timelines
    .flatMap(({ gaps }) => gaps)
    .map((gap) => missing(cluster, gap, costOfWal(gap, facts)))
    .filter(({ cost }) => cost.backups.length > 0 || cost.lost.length > 0)
}

/** Also before the first segment that is there, and behind the last one. */
function missingOwnWal(
  { hasSegment, timelines }: ArchiveSurvey,
  cluster: Cluster,
  facts: CostFacts,
): readonly CostedFinding[] {
  return facts.backups.flatMap(({ timeline, startLsn, stopLsn }) => {
    const names = [...segmentRange(timeline, { from: startLsn, to: stopLsn }, cluster.walSegmentSize)]
    return names
      .filter((name) => !hasSegment(name) && !isInGap(name, timelines, cluster))
      .map((name) => {
        const segment = parseSegmentName(name, cluster.walSegmentSize)
        return missing(cluster, { ...segment, first: name, last: name }, costOfWal(segment, facts))
      })
  })
}

/** It is told with the gap. */
function isInGap(
  name: WalSegmentName,
  timelines: ArchiveSurvey['timelines'],
  { walSegmentSize }: Cluster,
): boolean {
  const { timeline, startLsn } = parseSegmentName(name, walSegmentSize)
  return timelines.some(({ gaps }) =>
    gaps.some((gap) => gap.timeline === timeline && gap.startLsn <= startLsn && startLsn < gap.endLsn),
  )
}

function missing(
  cluster: Cluster,
  { first, last }: { readonly first: WalSegmentName; readonly last: WalSegmentName },
  cost: DamageCost,
): CostedFinding {
  const names = first === last ? `segment ${first} is` : `segments ${first} to ${last} are`
  const problem = `${names} not in the archive`
  return { key: keyOf(cluster, first), kind: 'wal-missing', problem, group: undefined, cost }
}

function severalContents(
  { conflicts }: ArchiveSurvey,
  cluster: Cluster,
  facts: CostFacts,
): readonly CostedFinding[] {
  return conflicts.map(({ name, digests }) => ({
    key: keyOf(cluster, name.name),
    kind: 'wal-conflict',
    problem: `${name.name} has ${digests.length} different contents: two servers archived as one cluster`,
    group: undefined,
    contentCount: digests.length,
    cost:
      name.kind === 'segment'
        ? costOfWal(parseSegmentName(name.name, cluster.walSegmentSize), facts)
        : costOfFile(name, facts),
  }))
}

const costOfFile = (
  { kind, timeline }: ReturnType<typeof parseArchiveFileName>,
  facts: CostFacts,
): DamageCost => (kind === 'history' ? costOfHistory(timeline, facts) : { backups: [], lost: [] })

/**
 * A server archives the history of a timeline before anything else of it. So it has gone when there is WAL of the timeline
 * and a backup from before it.
 */
function missingHistories(
  { timelines }: ArchiveSurvey,
  cluster: Cluster,
  facts: CostFacts,
): readonly CostedFinding[] {
  return timelines
    .filter(
      ({ timeline, isOriginKnown, ranges }) =>
        !isOriginKnown && ranges.length > 0 && facts.backups.some((backup) => backup.timeline < timeline),
    )
    .map(({ timeline }) => ({
      key: keyOf(cluster, historyFileName(timeline)),
      kind: 'history',
      problem: `${historyFileName(timeline)} is not in the archive, although timeline ${timeline} is`,
      group: undefined,
      cost: costOfHistory(timeline, facts),
    }))
}

/** Where it would be. */
function keyOf({ id }: Cluster, name: string): string {
  return archivedNamePrefix(id, parseArchiveFileName(name)).slice(0, -1)
}
