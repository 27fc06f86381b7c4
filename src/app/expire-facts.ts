import { surveyArchive } from '../archive/archive-inventory.ts'
import { isOperationError, OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { Catalogue } from '../repository/catalogue.ts'
import { readManifestHead } from '../repository/manifest-reader.ts'
import { branchEnds } from '../restore/branch-ends.ts'
import type { ExpireKnowledge } from '../retention/plan-expire.ts'
import { damagedLabels, provenAt } from '../verify/verify-state.ts'
import { readVerifyState } from '../verify/verify-state-store.ts'
import { readGuardedCatalogue } from './guarded-catalogue.ts'
import type { ClusterRepository } from './open-cluster.ts'
import { findUnrestorable } from './recovery-window.ts'

export interface ExpireFacts {
  readonly catalogue: Catalogue
  readonly knowledge: ExpireKnowledge
}

/** Finds out what is stored of a cluster and in which state, as far as forgetting depends on it. Changes nothing. */
export async function gatherExpireFacts(place: ClusterRepository, context: RunContext): Promise<ExpireFacts> {
  const { repository, cluster } = place
  const catalogue = await readGuardedCatalogue(place, context)
  const { backups } = catalogue
  const inventory = await surveyArchive(place, context)
  const state = await readVerifyState(repository, cluster.id, context)
  const { histories, timelines, unreadableHistories } = inventory
  return {
    catalogue,
    knowledge: {
      nowMs: context.clock.now(),
      damaged: damagedLabels(state),
      walMissing: findUnrestorable({ backups, inventory }, place),
      proven: new Set(
        backups.map(({ label }) => label).filter((label) => provenAt(state, label) !== undefined),
      ),
      branches: branchEnds({ backups, histories, timelines, unreadableHistories }),
    },
  }
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
