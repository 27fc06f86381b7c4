import { surveyArchive } from '../archive/archive-inventory.ts'
import { archivedNamePrefix } from '../archive/wal-object-key.ts'
import { historyFileName, parseArchiveFileName } from '../domain/archive-file-name.ts'
import type { BackupLabel } from '../domain/backup-label.ts'
import { isOperationError, OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { segmentNameEndingAt } from '../domain/wal-segment.ts'
import type { Catalogue } from '../repository/catalogue.ts'
import { readManifestHead } from '../repository/manifest-reader.ts'
import { catalogPrefix } from '../repository/object-keys.ts'
import type { BranchEnd } from '../restore/branch-ends.ts'
import type { Branch } from '../retention/branch-needs.ts'
import type { DeleteKnowledge } from '../retention/plan-delete.ts'
import type { ExpireKnowledge } from '../retention/plan-expire.ts'
import type { DamageKind } from '../verify/damage.ts'
import { damagedLabels, provenAt, type VerifyState } from '../verify/verify-state.ts'
import { readVerifyState } from '../verify/verify-state-store.ts'
import { endsOf, findReaches, reachByTimeline } from './backup-reach.ts'
import { readGuardedCatalogue } from './guarded-catalogue.ts'
import type { ClusterRepository } from './open-cluster.ts'

export interface ExpireFacts {
  readonly catalogue: Catalogue
  readonly knowledge: ExpireKnowledge & DeleteKnowledge
  /** What `verify` found damage in of whatever kind, dumps too. */
  readonly damaged: ReadonlySet<BackupLabel>
}

/** Finds out what is stored of a cluster and in which state, as far as forgetting depends on it. Changes nothing. */
export async function gatherExpireFacts(place: ClusterRepository, context: RunContext): Promise<ExpireFacts> {
  const { repository, cluster } = place
  const catalogue = await readGuardedCatalogue(place, context)
  const { backups } = catalogue
  const inventory = await surveyArchive(place, context)
  const state = await readVerifyState(repository, cluster.id, context)
  const reaches = findReaches({ backups, inventory }, place)
  const branches: Branch[] = []
  for (const end of endsOf({ backups, inventory })) {
    const { timeline, history } = end
    branches.push({ timeline, history, archivedAtMs: await newestArchivedAt(end, place, context) })
  }
  return {
    catalogue,
    damaged: damagedLabels(state),
    knowledge: {
      nowMs: context.clock.now(),
      writtenAtMs: await readWrittenAt(place, context),
      damaged: labelsOf(state, dataKinds),
      walMissing: new Set([...reaches.walMissing, ...labelsOf(state, walKinds)]),
      unknown: reaches.unknown,
      proven: new Set(
        backups.map(({ label }) => label).filter((label) => provenAt(state, label) !== undefined),
      ),
      branches,
      reachOf: reachByTimeline(reaches.onward),
    },
  }
}

/** Without these the data of a backup is lost. */
const dataKinds: ReadonlySet<DamageKind> = new Set([
  'key-slot',
  'cluster-record',
  'catalogue',
  'manifest',
  'pack',
])
/** These may come back from another copy. What is missing or ambiguous now, also of histories, names tell better. */
const walKinds: ReadonlySet<DamageKind> = new Set(['wal', 'wal-records'])

function labelsOf(state: VerifyState | undefined, kinds: ReadonlySet<DamageKind>): ReadonlySet<BackupLabel> {
  const damage = state?.damage.filter(({ kind }) => kinds.has(kind)) ?? []
  return new Set(damage.flatMap(({ backups }) => backups))
}

/** When the entries of the catalogue were stored, by the store's clock. */
async function readWrittenAt(
  { repository, cluster }: ClusterRepository,
  context: RunContext,
): Promise<readonly number[]> {
  const written: number[] = []
  for await (const { modifiedAtMs } of repository.store.list(catalogPrefix(cluster.id), context))
    written.push(modifiedAtMs)
  return written
}

/** When the newest segment of a timeline was archived, or its history file. */
async function newestArchivedAt(
  { timeline, archivedTo }: BranchEnd,
  { repository, cluster }: ClusterRepository,
  context: RunContext,
): Promise<number | undefined> {
  const names = [
    ...(timeline === 1 ? [] : [historyFileName(timeline)]),
    ...(archivedTo === undefined ? [] : [segmentNameEndingAt(timeline, archivedTo, cluster.walSegmentSize)]),
  ]
  let newest: number | undefined
  for (const name of names.map(parseArchiveFileName)) {
    for await (const { modifiedAtMs } of repository.store.list(archivedNamePrefix(cluster.id, name), context))
      newest = Math.max(newest ?? modifiedAtMs, modifiedAtMs)
  }
  return newest
}

/** Nothing is forgotten while a manifest cannot be read: what it refers to is not known (R67). */
export async function requireManifests(
  { backups }: Catalogue,
  { repository, cluster, name }: ClusterRepository,
  context: RunContext,
): Promise<void> {
  for (const backup of backups) {
    try {
      await readManifestHead(repository, { clusterId: cluster.id, ...backup }, context)
    } catch (error) {
      if (!isOperationError(error, 'damaged')) throw error
      throw new OperationError(
        'damaged',
        `expiring backups of cluster "${cluster.name}" in repo "${name}": nothing is removed, because ${error.message}`,
        {
          cause: error,
          hint: `Take a new backup, and give this one up with "holdfast delete ${backup.label}".`,
        },
      )
    }
  }
}
