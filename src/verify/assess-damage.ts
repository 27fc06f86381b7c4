import type { ArchivePlace } from '../archive/archive-place.ts'
import { parseWalObjectKey } from '../archive/wal-object-key.ts'
import { isBackupLabel, type BackupLabel } from '../domain/backup-label.ts'
import type { RunContext } from '../domain/run-context.ts'
import { parseSegmentName } from '../domain/wal-segment.ts'
import type { ListedDump } from '../repository/dump-entry.ts'
import { readManifestHead } from '../repository/manifest-reader.ts'
import { dumpFolder, manifestFolder, manifestKey, packKey } from '../repository/object-keys.ts'
import {
  costOfBackups,
  costOfHistory,
  costOfWal,
  costsNothing,
  type CostFacts,
  type DamageCost,
} from './damage-cost.ts'
import { expandDamage } from './condense-damage.ts'
import type { Damage } from './damage.ts'
import type { CostedFinding } from './find-wal-holes.ts'
import { readOrProblem, type Finding } from './object-problem.ts'

export interface AssessmentFacts extends CostFacts {
  readonly dumps: readonly ListedDump[]
  /** Undefined when nothing was ever listed. */
  readonly newestCatalogueKey: string | undefined
}

interface Assessment {
  /** What this run found, and what older runs found in what this one has not looked at. */
  readonly findings: readonly Finding[]
  readonly holes: readonly CostedFinding[]
  /** What was known before: a damage that is found again was found then. */
  readonly known: readonly Damage[]
  readonly facts: AssessmentFacts
}

/**
 * Makes damage of findings: what is still there and still matters, with what it costs now. Objects may have gone or
 * have been replaced since they were read, because backups and retention go on meanwhile.
 */
export async function assessDamage(
  { findings, holes, known, facts }: Assessment,
  place: ArchivePlace,
  context: RunContext,
): Promise<readonly Damage[]> {
  const byKey = new Map(findings.map((finding) => [`${finding.kind} ${finding.key}`, finding]))
  const referring = await findReferring([...byKey.values()], { place, facts }, context)
  const nowMs = context.clock.now()
  const foundBefore = new Map(
    known.flatMap(expandDamage).map((damage) => [`${damage.kind} ${damage.key}`, damage.foundAtMs]),
  )
  const toDamage = (finding: Finding, { backups, lost }: DamageCost): Damage => {
    const { key, kind, problem, group } = finding
    const foundAtMs = foundBefore.get(`${kind} ${key}`) ?? nowMs
    return { key, kind, problem, group, foundAtMs, seenAtMs: nowMs, backups, lost }
  }
  const damage: Damage[] = []
  for (const finding of byKey.values()) {
    const isNeeded = (referring.get(finding.key) ?? []).length > 0
    if (!(await stillHolds(finding, { place, facts, isNeeded }, context))) continue
    damage.push(toDamage(finding, costOf(finding, { place, facts, referring })))
  }
  const told = judgeContents(damage, holes)
  return [...told.damage, ...told.holes.map((hole) => toDamage(hole, hole.cost))]
}

/**
 * Several contents of a name are a conflict only when more than one of them is whole: of one whole content and bad ones
 * the whole one is taken, so that the bad ones cost nothing. A history that is damaged is not missing besides.
 */
function judgeContents(
  damage: readonly Damage[],
  holes: readonly CostedFinding[],
): { readonly damage: readonly Damage[]; readonly holes: readonly CostedFinding[] } {
  const archived = damage.filter(({ kind }) => kind === 'wal' || kind === 'history')
  const badOf = new Map<CostedFinding, readonly Damage[]>()
  for (const hole of holes) {
    const bad = archived.filter(({ key }) => key.startsWith(`${hole.key}-`))
    if (hole.kind === 'history' || hole.kind === 'wal-conflict') badOf.set(hole, bad)
  }
  const harmless = new Set(
    [...badOf].filter(([hole, bad]) => wholeCount(hole, bad) === 1).flatMap(([, bad]) => bad),
  )
  return {
    damage: damage.map((each) => (harmless.has(each) ? { ...each, ...costsNothing } : each)),
    holes: holes.filter((hole) => {
      const bad = badOf.get(hole) ?? []
      return bad.length === 0 || wholeCount(hole, bad) > 1
    }),
  }
}

/** A file in several parts may have several bad ones. */
function wholeCount({ key, contentCount = 0 }: CostedFinding, bad: readonly Damage[]): number {
  return contentCount - new Set(bad.map((each) => each.key.slice(key.length).split('.')[0])).size
}

/** Which backups refer to each of the packs that something is wrong with: all of them, X4. */
async function findReferring(
  findings: readonly Finding[],
  { place, facts }: { readonly place: ArchivePlace; readonly facts: AssessmentFacts },
  context: RunContext,
): Promise<ReadonlyMap<string, readonly BackupLabel[]>> {
  const packs = new Map<string, BackupLabel[]>()
  for (const { kind, key } of findings) if (kind === 'pack') packs.set(key, [])
  if (packs.size === 0) return packs
  const { repository, cluster } = place
  for (const backup of facts.backups) {
    // A manifest that cannot be read is a finding of its own.
    const read = await readOrProblem(() =>
      readManifestHead(repository, { clusterId: cluster.id, ...backup }, context),
    )
    if ('problem' in read) continue
    for (const pack of read.content.packs) packs.get(packKey(cluster.id, pack))?.push(backup.label)
  }
  return packs
}

async function stillHolds(
  { key, kind, isAbsent }: Finding,
  { place, facts, isNeeded }: { place: ArchivePlace; facts: AssessmentFacts; isNeeded: boolean },
  context: RunContext,
): Promise<boolean> {
  const { repository, cluster } = place
  const isThere = async (name: string): Promise<boolean> => {
    const answer = await readOrProblem(() => repository.store.head(name, context))
    return 'problem' in answer || answer.content !== undefined
  }
  if (kind === 'catalogue') return true
  if (kind === 'manifest')
    return facts.backups.some((backup) => isOfManifest(key, { clusterId: cluster.id, ...backup }))
  if (kind === 'dump') return costOfDump(key, place, facts).backups.length > 0
  // The parts of a segment that was removed are not missed; while its part 00 is there, they are.
  if (kind !== 'pack') return isThere(key.replace(/\.\d\d$/, '.00'))
  return isAbsent === true ? isNeeded && !(await isThere(key)) : isNeeded || (await isThere(key))
}

function isOfManifest(
  key: string,
  backup: { readonly clusterId: string; readonly label: BackupLabel; readonly revision: number },
): boolean {
  const head = manifestKey(backup.clusterId, backup)
  return key.startsWith(head.slice(0, head.lastIndexOf('/') + 1))
}

interface CostTools {
  readonly place: ArchivePlace
  readonly facts: AssessmentFacts
  readonly referring: ReadonlyMap<string, readonly BackupLabel[]>
}

function costOf({ key, kind }: Finding, { place, facts, referring }: CostTools): DamageCost {
  if (kind === 'catalogue') return costOfEntry(key, facts)
  if (kind === 'manifest') return costOfBackups([labelIn(key, place)].filter(isBackupLabel), facts)
  if (kind === 'pack') return costOfBackups(referring.get(key) ?? [], facts)
  if (kind === 'dump') return costOfDump(key, place, facts)
  return costOfArchived(key, place, facts)
}

/** Without the newest entry nothing is listed; the others are history. */
function costOfEntry(key: string, facts: AssessmentFacts): DamageCost {
  if (key !== facts.newestCatalogueKey) return costsNothing
  const cost = costOfBackups(
    facts.backups.map(({ label }) => label),
    facts,
  )
  return { ...cost, backups: [...cost.backups, ...facts.dumps.map(({ label }) => label)] }
}

/** The dump itself, as long as it is listed; no moment depends on it. */
function costOfDump(key: string, { cluster }: ArchivePlace, { dumps }: AssessmentFacts): DamageCost {
  const label = key.slice(dumpFolder(cluster.id).length).split('/')[0]
  return { backups: dumps.filter((dump) => dump.label === label).map((dump) => dump.label), lost: [] }
}

const labelIn = (key: string, { cluster }: ArchivePlace): string =>
  key.slice(manifestFolder(cluster.id).length).split('/')[0] ?? ''

/** Partial segments and notes of backups are not what a recovery reads; one key slot or old record less costs nothing. */
function costOfArchived(key: string, { cluster }: ArchivePlace, facts: CostFacts): DamageCost {
  const name = parseWalObjectKey(cluster.id, key)?.name
  if (name?.kind === 'history') return costOfHistory(name.timeline, facts)
  return name?.kind === 'segment'
    ? costOfWal(parseSegmentName(name.name, cluster.walSegmentSize), facts)
    : costsNothing
}
