import { join } from 'node:path'
import type { ArchivePlace } from '../archive/archive-place.ts'
import { formatInstant } from '../domain/target-time.ts'
import { isOperationError, type OperationError } from '../domain/operation-error.ts'
import { describeRecoveryTarget, type RecoveryTarget } from '../domain/recovery-target.ts'
import type { RunContext } from '../domain/run-context.ts'
import { readControlFile } from '../postgres/control-file.ts'
import type { RestorePlan } from '../restore/plan-restore.ts'
import { lastCommitAt } from '../sandbox/last-commit.ts'
import type { Sandbox } from '../sandbox/open-sandbox.ts'
import { findBackedUpTables } from './backed-up-tables.ts'
import { checkAssertions } from './check-assertions.ts'
import { checkPages } from './check-pages.ts'
import { checkRelations } from './check-relations.ts'
import { outcomeOf, type DrillCheck, type DrillReport } from './drill-report.ts'
import type { Suspect, WalTestimony } from './loss-tally.ts'

export interface DrillRequest {
  readonly target: RecoveryTarget
  /** Whether somebody named the moment, which may not be there. */
  readonly isTargetNamed: boolean
  /** Statements that must each give one value that is true. */
  readonly assertions: readonly string[]
  /** Where they run. */
  readonly database: string
}

export interface DrillTools {
  /** Opens the sandbox that is to be proved. */
  readonly open: (onPlanned: (plan: RestorePlan) => void) => Promise<Sandbox>
  /** Where it comes from. */
  readonly place: ArchivePlace
  /** Asks what the WAL that was recovered tells of relations that may have lost something. */
  readonly askWal: (suspects: readonly Suspect[], sandbox: Sandbox) => Promise<WalTestimony>
}

/**
 * Proves a restore: it is done into a throw-away server, and everything in it is read and checked. Passes only if every
 * check ran and found nothing wrong. A restore that fails is a report, too; what keeps it from being tried at all, such as
 * `store-unreachable`, is thrown.
 */
export async function runDrill(
  request: DrillRequest,
  tools: DrillTools,
  context: RunContext,
): Promise<DrillReport> {
  const { clock } = context
  const begun = { beganAtMs: clock.now(), target: describeRecoveryTarget(request.target) }
  let plan: RestorePlan | undefined
  let sandbox: Sandbox
  try {
    sandbox = await tools.open((made) => {
      plan = made
    })
  } catch (error) {
    if (!isVerdict(error, { ...request, plan })) throw error
    const failed = unrecovered(error, plan)
    return { ...begun, ...nothingDone, outcome: 'failed', reached: undefined, checks: [failed] }
  }
  await using held = sandbox
  return { ...begun, ...(await proveAll(request, { ...tools, sandbox: held }, context)) }
}

interface ProofTools extends Omit<DrillTools, 'open'> {
  readonly sandbox: Sandbox
}

async function proveAll(
  request: DrillRequest,
  tools: ProofTools,
  context: RunContext,
): Promise<Omit<DrillReport, 'beganAtMs' | 'target'>> {
  const { clock } = context
  const { sandbox } = tools
  const checking = clock.monotonic()
  const checks = [recovered(sandbox), ...(await checkAll(request, tools, context))]
  const { plan, reached, restored } = sandbox
  return {
    outcome: outcomeOf(checks),
    reached: {
      backup: plan.backup.label,
      lsn: reached.lsn,
      lastCommitAt: lastCommitAt(reached),
      archivedCommitAt:
        plan.wal.lastCommitAt === undefined ? undefined : formatInstant(plan.wal.lastCommitAt),
    },
    checks,
    filesMs: Math.round(restored.filesMs),
    recoveryMs: Math.round(restored.recoveryMs),
    checkMs: Math.round(clock.monotonic() - checking),
    writtenBytes: restored.writtenBytes,
    replayedBytes: Math.max(0, Number(reached.lsn - plan.backup.startLsn)),
  }
}

const nothingDone = { filesMs: 0, recoveryMs: 0, checkMs: 0, writtenBytes: 0, replayedBytes: 0 }

interface Tried extends Pick<DrillRequest, 'isTargetNamed'> {
  /** Undefined: it was not begun. */
  readonly plan: RestorePlan | undefined
}

/**
 * Whether a failure says that what is stored cannot be restored, and not that it could not be tried. That a moment which
 * somebody named cannot be reached says nothing of what is stored, unless it was planned with: then WAL has gone since.
 */
function isVerdict(error: unknown, { isTargetNamed, plan }: Tried): error is OperationError {
  return (
    isOperationError(error, 'damaged') ||
    isOperationError(error, 'recovery-failed') ||
    isOperationError(error, 'wal-missing') ||
    (isOperationError(error, 'target-unreachable') && (plan !== undefined || !isTargetNamed))
  )
}

function unrecovered({ message }: OperationError, plan: RestorePlan | undefined): DrillCheck {
  const from = plan === undefined ? '' : `from backup ${plan.backup.label}: `
  return { name: 'recovery', state: 'failed', message: `${from}${message}`, findings: [] }
}

function recovered({ plan, reached }: Sandbox): DrillCheck {
  const message = `backup ${plan.backup.label} and ${plan.wal.count} WAL ${plan.wal.count === 1 ? 'segment' : 'segments'}, promoted to timeline ${reached.timeline}`
  return { name: 'recovery', state: 'passed', message, findings: [] }
}

async function checkAll(
  { assertions, database }: DrillRequest,
  { sandbox, place, askWal }: ProofTools,
  context: RunContext,
): Promise<readonly DrillCheck[]> {
  const { conninfo, plan, source } = sandbox
  const pages = await provePages(plan.request.targetDirectory, context)
  const backedUp = await findBackedUpTables({ backup: plan.backup, files: source.files }, place, context)
  const relations = await checkRelations(
    { conninfo, backedUp, askWal: (suspects) => askWal(suspects, sandbox) },
    context,
  )
  return [pages, ...relations, await checkAssertions(assertions, { ...conninfo, dbname: database }, context)]
}

async function provePages(dataDirectory: string, context: RunContext): Promise<DrillCheck> {
  const name = 'pages'
  const { control } = await readControlFile(join(dataDirectory, 'global/pg_control'), context)
  const hasChecksums = control.dataChecksumVersion > 0
  const { pages, bad, badCount } = await checkPages({ dataDirectory, hasChecksums }, context)
  if (badCount > 0) {
    const message = `${badCount} of ${pages} pages have a wrong checksum`
    return { name, state: 'failed', message, findings: bad }
  }
  const message = hasChecksums
    ? `${pages} pages have the right checksum`
    : `${pages} pages were read; the cluster has no checksums to prove them by`
  return { name, state: 'passed', message, findings: [] }
}
