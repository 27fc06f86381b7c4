import type { ArchivePlace } from '../archive/archive-place.ts'
import { isOperationError } from '../domain/operation-error.ts'
import { parsePostgresMajor } from '../domain/postgres-version.ts'
import type { RunContext } from '../domain/run-context.ts'
import { findServerBinaries, type BinarySearch, type ServerBinaries } from '../postgres/binaries.ts'
import { applyRestore, removeMarkers } from './apply-restore.ts'
import type { ForbiddenPlaces } from './check-path.ts'
import { completeRecovered, completeRestore } from './complete-restore.ts'
import { driveRecovery, type Reached } from './drive-recovery.ts'
import { gatherRestoreFacts, type GatheredFacts } from './gather-restore-facts.ts'
import { planRestore, type RestorePlan } from './plan-restore.ts'
import type { RestoreRequest } from './restore-request.ts'
import type { SparePackSource, WrittenBytes } from './write-packs.ts'

export interface RestoreTools {
  readonly place: ArchivePlace
  /** Undefined: as many as the machine has processors. */
  readonly workers: number | undefined
  /** For recovery, as the server takes it: before it is quoted for a configuration file. */
  readonly restoreCommand: (spares: ArchivePlace['spares']) => string
  readonly binaries: BinarySearch
  /** Roles of the cluster to ask how far recovery has come. */
  readonly roles: readonly string[]
  readonly forbidden: ForbiddenPlaces
  /** Undefined: what is damaged in the repository ends the restore. */
  readonly spares?: SparePackSource | undefined
}

/** A restore that was planned and not begun. */
export interface PreparedRestore {
  readonly plan: RestorePlan
  readonly facts: GatheredFacts
  /** Undefined when the recovery is not ours. */
  readonly serverBinaries: ServerBinaries | undefined
  /** Where it was planned from: with spare repositories that WAL is mixed from, when that was needed. */
  readonly place: ArchivePlace
}

export interface RestoreResult extends WrittenBytes {
  readonly plan: RestorePlan
  /** Undefined: files only, or recovery was left paused. */
  readonly reached: Reached | undefined
  readonly filesMs: number
  readonly recoveryMs: number
}

/**
 * Finds out whether the restore is possible and how. Changes nothing; throws what stands in the way. When WAL lacks that
 * spare repositories have, it is planned with theirs.
 */
export async function prepareRestore(
  request: RestoreRequest,
  tools: RestoreTools,
  context: RunContext,
): Promise<PreparedRestore> {
  const { spares } = tools.place
  try {
    return await prepareFrom(request, tools, context)
  } catch (error) {
    const mayHelp = isOperationError(error, 'wal-missing') || isOperationError(error, 'target-unreachable')
    if (!mayHelp || spares === undefined || spares.areMixed) throw error
    const place = { ...tools.place, spares: { ...spares, areMixed: true } }
    const prepared = await prepareFrom(request, { ...tools, place }, context).catch(() => undefined)
    // Of what lacks in all of them the first one tells.
    if (prepared === undefined) throw error
    context.report({
      kind: 'note',
      message: `WAL that lacks is taken from other repositories: ${error.message}`,
    })
    return prepared
  }
}

async function prepareFrom(
  request: RestoreRequest,
  tools: RestoreTools,
  context: RunContext,
): Promise<PreparedRestore> {
  const facts = await gatherRestoreFacts({ request, ...tools }, tools.place, context)
  const plan = planRestore(request, facts)
  const major = parsePostgresMajor(String(plan.backup.major))
  const serverBinaries = request.isFilesOnly
    ? undefined
    : await findServerBinaries(major, tools.binaries, context.signal)
  return { plan, facts, serverBinaries, place: tools.place }
}

/**
 * Does what was planned. When it fails or is killed, the target directory either cannot be started, or is a cluster that
 * has not been promoted, or one that is recovered but for the clean-up; the same restore again completes each.
 */
export async function runRestore(
  { plan, facts, serverBinaries, place }: PreparedRestore,
  tools: RestoreTools,
  context: RunContext,
): Promise<RestoreResult> {
  const { clock, report } = context
  for (const message of plan.warnings) report({ kind: 'warning', message })
  const begun = clock.monotonic()
  const { recovered } = plan.places[0] ?? {}
  if (recovered !== undefined) {
    const { forbidden } = tools
    const reached = await completeRecovered({ plan, head: facts.head, forbidden }, recovered, context)
    return { plan, ...nothingWritten, reached, filesMs: 0, recoveryMs: clock.monotonic() - begun }
  }
  report({
    kind: 'note',
    message: `restoring backup ${plan.backup.label} into "${plan.request.targetDirectory}"`,
  })
  const restoreCommand = tools.restoreCommand(place.spares)
  const written = await applyRestore({ plan, facts, ...tools, restoreCommand }, place, context)
  const filled = clock.monotonic()
  const reached = serverBinaries && (await recover(plan, { serverBinaries, tools }, context))
  await (reached === undefined ? removeMarkers(plan) : completeRestore(plan, reached, context))
  return { plan, ...written, reached, filesMs: filled - begun, recoveryMs: clock.monotonic() - filled }
}

const nothingWritten: WrittenBytes = { comparedBytes: 0, writtenBytes: 0 }

async function recover(
  plan: RestorePlan,
  { serverBinaries, tools }: { serverBinaries: ServerBinaries; tools: RestoreTools },
  context: RunContext,
): Promise<Reached> {
  context.report({ kind: 'note', message: 'files are complete; recovering on a private socket' })
  return driveRecovery({ plan, binaries: serverBinaries, roles: tools.roles }, context)
}
