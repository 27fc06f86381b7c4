import type { ArchivePlace } from '../archive/archive-place.ts'
import { describePlace } from '../archive/archive-place.ts'
import type { BackupLabel } from '../domain/backup-label.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { ListedBackup } from '../repository/backup-entry.ts'
import { changeCatalogue, type Catalogue } from '../repository/catalogue.ts'
import type { Lease } from '../repository/lease.ts'
import type { ExpirePlan } from './plan-expire.ts'

/** What was done. */
export interface AppliedExpire {
  readonly removed: readonly BackupLabel[]
  readonly ownWal: readonly BackupLabel[]
  /** The catalogue after it; undefined when there was nothing to change. */
  readonly catalogue: Catalogue | undefined
}

export interface Permission {
  /** Typed by whoever runs this: the name of the cluster. */
  readonly confirmed: string | undefined
  /** Whether to go on although the clock seems to be wrong. */
  readonly acceptsClock: boolean
}

/** Throws unless the plan may be carried out as it is. */
export function requirePermission(plan: ExpirePlan, permission: Permission, place: ArchivePlace): void {
  const { clockDoubt, isDrastic, remove, ownWal, keep } = plan
  const drastic = `half or more of ${remove.length + keep.length} backups would go (${remove.length}) or lose the WAL behind them (${ownWal.length})`
  requireAllowed({ noun: 'backups', clockDoubt, drastic: isDrastic ? drastic : undefined }, permission, place)
}

/** What speaks against a plan. */
interface Doubts {
  readonly noun: 'backups' | 'dumps'
  readonly clockDoubt: string | undefined
  /** How much would go, when that is too much for a mistake. */
  readonly drastic: string | undefined
}

/** Throws unless nothing speaks against a plan, or whoever runs this knows. */
export function requireAllowed(
  { noun, clockDoubt, drastic }: Doubts,
  { confirmed, acceptsClock }: Permission,
  place: ArchivePlace,
): void {
  const { name } = place.cluster
  if (confirmed !== undefined && confirmed !== name) throw wrongName(confirmed, place)
  if (clockDoubt !== undefined && !acceptsClock) {
    throw new OperationError(
      'clock-doubtful',
      `expiring ${noun} of ${describePlace(place)}: a clock seems to be wrong: ${clockDoubt}`,
      {
        hint: `Set the clock right; when it is right and the ${noun} are all that there is to expect, add "--accept-clock".`,
      },
    )
  }
  if (drastic !== undefined && confirmed === undefined) {
    throw new OperationError('not-confirmed', `expiring ${noun} of ${describePlace(place)}: ${drastic}`, {
      hint: `Look at it with "--dry-run", and add "--confirm ${name}" when that is what you want.`,
    })
  }
}

function wrongName(confirmed: string, place: ArchivePlace): OperationError {
  return new OperationError(
    'not-confirmed',
    `forgetting backups of ${describePlace(place)}: expected the name of the cluster as confirmation, found "${confirmed}"`,
    { hint: `Write "--confirm ${place.cluster.name}" when this is the cluster that you mean.` },
  )
}

interface Deciding {
  readonly plan: ExpirePlan
  /** Makes the plan again, for a catalogue that somebody has changed meanwhile. */
  readonly decide: (backups: readonly ListedBackup[]) => ExpirePlan
  readonly lease: Lease
}

/**
 * Takes what was planned out of the catalogue, in one entry: before it everything is listed, after it nothing of what goes
 * (R68). When somebody was faster, only what the plan for their catalogue forgets too is forgotten: what was pinned
 * meanwhile stays, and what was listed meanwhile was not looked at and stays.
 */
export async function applyExpire(
  { plan, decide, lease }: Deciding,
  { repository, cluster }: ArchivePlace,
  context: RunContext,
): Promise<AppliedExpire> {
  if (plan.remove.length === 0 && plan.ownWal.length === 0)
    return { removed: [], ownWal: [], catalogue: undefined }
  let decided: Pick<AppliedExpire, 'removed' | 'ownWal'> = { removed: [], ownWal: [] }
  const catalogue = await changeCatalogue(
    repository,
    {
      clusterId: cluster.id,
      change: ({ backups }) => {
        decided = agreed(plan, decide(backups))
        return { kind: 'remove', labels: decided.removed, ownWal: decided.ownWal }
      },
      confirm: () => lease.confirm(),
    },
    context,
  )
  return { ...decided, catalogue }
}

function agreed(plan: ExpirePlan, again: ExpirePlan): Pick<AppliedExpire, 'removed' | 'ownWal'> {
  const removedAgain = new Set(again.remove.map(({ label }) => label))
  return {
    removed: plan.remove.map(({ label }) => label).filter((label) => removedAgain.has(label)),
    ownWal: plan.ownWal.filter((label) => again.ownWal.includes(label)),
  }
}
