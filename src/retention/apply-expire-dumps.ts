import type { ArchivePlace } from '../archive/archive-place.ts'
import type { BackupLabel } from '../domain/backup-label.ts'
import type { RunContext } from '../domain/run-context.ts'
import { changeCatalogue, type Catalogue } from '../repository/catalogue.ts'
import type { Lease } from '../repository/lease.ts'
import { requireAllowed, type Permission } from './apply-expire.ts'
import type { DumpExpirePlan } from './plan-expire-dumps.ts'

/** Throws unless the plan may be carried out as it is. */
export function requireDumpPermission(
  plan: DumpExpirePlan,
  permission: Permission,
  place: ArchivePlace,
): void {
  const { clockDoubt, isDrastic, remove, keep } = plan
  const drastic = `half or more of ${remove.length + keep.length} dumps would go (${remove.length})`
  requireAllowed({ noun: 'dumps', clockDoubt, drastic: isDrastic ? drastic : undefined }, permission, place)
}

interface Deciding {
  readonly plan: DumpExpirePlan
  /** Makes the plan again, for a catalogue that somebody has changed meanwhile. */
  readonly decide: (catalogue: Catalogue) => DumpExpirePlan
  readonly lease: Lease
}

/** What was done. */
export interface AppliedDumpExpire {
  readonly removed: readonly BackupLabel[]
  /** The catalogue after it; undefined when there was nothing to change. */
  readonly catalogue: Catalogue | undefined
}

/** Takes what was planned out of the catalogue in one entry, as `applyExpire` does with backups. */
export async function applyExpireDumps(
  { plan, decide, lease }: Deciding,
  { repository, cluster }: ArchivePlace,
  context: RunContext,
): Promise<AppliedDumpExpire> {
  if (plan.remove.length === 0) return { removed: [], catalogue: undefined }
  let removed: readonly BackupLabel[] = []
  const catalogue = await changeCatalogue(
    repository,
    {
      clusterId: cluster.id,
      change: (newest) => {
        const again = new Set(decide(newest).remove.map(({ label }) => label))
        removed = plan.remove.map(({ label }) => label).filter((label) => again.has(label))
        return { kind: 'remove-dumps', labels: removed }
      },
      confirm: () => lease.confirm(),
    },
    context,
  )
  return { removed, catalogue }
}
