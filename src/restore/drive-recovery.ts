import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { formatLsn, type Lsn } from '../domain/lsn.ts'
import { isOperationError, OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { TimelineId } from '../domain/timeline.ts'
import { sendSignal } from '../platform/child-process.ts'
import { replaceDurably } from '../platform/durable-file.ts'
import type { ServerBinaries } from '../postgres/binaries.ts'
import { connect, type PostgresSession } from '../postgres/connection.ts'
import { readControlFile, type ControlFile } from '../postgres/control-file.ts'
import { readRecoveryStatus, type RecoveryStatus } from '../postgres/recovery-status.ts'
import { fatalLinesOf } from '../postgres/server-log.ts'
import {
  startPrivateServer,
  type PrivateServer,
  type PrivateServerRequest,
} from '../postgres/server-process.ts'
import { controlFilePath } from './check-entry.ts'
import { lookAt } from './check-path.ts'
import { ConnectionPatience } from './connection-patience.ts'
import { findForeignInvalidPage, logBytesOf, mostLogBytes } from './check-invalid-pages.ts'
import { checkReached, stopLineOf } from './check-reached.ts'
import { noteRecovered, recoveryLog, type Recovered } from './restore-marker.ts'
import { insufficientSettings, recoveryServerSettings } from './recovery-server-settings.ts'
import { makeSocketDirectory, removeSocketDirectory } from './socket-directory.ts'
import type { RestorePlan } from './plan-restore.ts'
import { goalOf } from './restore-request.ts'

/** What is known of a recovery before it begins. */
export type RecoveryPlan = Pick<RestorePlan, 'request' | 'backup' | 'timeline' | 'stop' | 'wal' | 'leftOut'>

export interface DriveRequest {
  readonly plan: RecoveryPlan
  readonly binaries: ServerBinaries
  /** Roles to connect as, in this order: the first that exists is taken. */
  readonly roles: readonly string[]
}

/** What recovery has come to. */
export interface Reached {
  readonly lsn: Lsn
  /** Of the last commit that was replayed, as the server prints it. */
  readonly commitTime: string | undefined
  /** The new one after a promotion; the recovered one otherwise. */
  readonly timeline: TimelineId
  readonly isPromoted: boolean
}

const pollIntervalMs = 100
/** A server that found a setting too low is started again with a higher one, for each of the five settings. */
const mostStarts = 6

/**
 * Recovers a restored directory to the planned stop with a server of our own that nobody else can reach, checks what was
 * reached, and only then lets it promote (R40, R43, M7). The server is stopped cleanly in the end. When anything is not as
 * planned the directory stays unpromoted, with the server's log in it.
 */
export async function driveRecovery(request: DriveRequest, context: RunContext): Promise<Reached> {
  const dataDirectory = request.plan.request.targetDirectory
  await using cleanup = new AsyncDisposableStack()
  const socketDirectory = await makeSocketDirectory(context)
  cleanup.defer(() => removeSocketDirectory(socketDirectory, context))
  const raised: Record<string, string> =
    request.plan.request.isIsolated === true ? { shared_preload_libraries: '' } : {}
  for (let start = 1; ; start += 1) {
    const outcome = await recoverOnce({ ...request, socketDirectory, raised }, context)
    if (outcome.kind === 'reached') return outcome.reached
    if (start === mostStarts) throw failed(dataDirectory, 'settings are too low for the recovered cluster')
    Object.assign(raised, outcome.settings)
  }
}

/** How the server of a recovery is started that stays. */
export interface StayingServer extends Pick<PrivateServerRequest, 'launcher' | 'logFile'> {
  readonly socketDirectory: string
  /** Under those that a recovery needs. */
  readonly settings: Readonly<Record<string, string>>
}

/** A server that has paused where it was to. */
export interface PausedServer {
  readonly server: PrivateServer
  readonly reached: Reached
}

/**
 * Goes on with the recovery of a directory that was shut down in it, to the planned stop, checks what was reached, and leaves
 * the server paused there: whoever called owns it. When anything is not as planned no server is left.
 */
export async function pauseAtStop(
  { staying, ...request }: DriveRequest & { readonly staying: StayingServer },
  context: RunContext,
): Promise<PausedServer> {
  const { plan } = request
  const raised: Record<string, string> = {}
  for (let start = 1; ; start += 1) {
    const attempt = { ...request, ...staying, raised }
    await using opened = new AsyncDisposableStack()
    const server = opened.use(await startRecovery(attempt, context))
    const stopped = await waitForStop(server, attempt, context)
    if (stopped.kind === 'stopped') {
      opened.move()
      return {
        server,
        reached: { ...placeOf(plan, stopped.status), timeline: plan.timeline, isPromoted: false },
      }
    }
    await server.stop('fast', context)
    if (start === mostStarts)
      throw failed(plan.request.targetDirectory, 'settings are too low for the recovered cluster')
    Object.assign(raised, stopped.settings)
  }
}

interface Attempt extends DriveRequest, Partial<Omit<StayingServer, 'socketDirectory'>> {
  readonly socketDirectory: string
  readonly raised: Readonly<Record<string, string>>
}

type Outcome =
  | { readonly kind: 'reached'; readonly reached: Reached }
  /** The WAL says that the server of that time had higher settings. */
  | { readonly kind: 'too-low'; readonly settings: Readonly<Record<string, string>> }

async function recoverOnce(attempt: Attempt, context: RunContext): Promise<Outcome> {
  await using server = await startRecovery(attempt, context)
  const stopped = await waitForStop(server, attempt, context)
  if (stopped.kind === 'too-low') {
    await server.stop('fast', context)
    return stopped
  }
  const reached = await finish(server, { attempt, status: stopped.status }, context)
  return { kind: 'reached', reached }
}

async function startRecovery(attempt: Attempt, context: RunContext): Promise<PrivateServer> {
  const { plan, binaries, socketDirectory, raised, launcher } = attempt
  const dataDirectory = plan.request.targetDirectory
  const { control } = await readControlFile(join(dataDirectory, controlFilePath), context)
  const settings = {
    ...attempt.settings,
    ...recoveryServerSettings(control, plan, binaries.major),
    ...raised,
    ...(await missingConfiguration(attempt)),
  }
  const logFile = attempt.logFile ?? join(dataDirectory, recoveryLog)
  // What it says of the stop must be of this start.
  await rm(logFile, { force: true })
  const { binDirectory } = binaries
  return startPrivateServer(
    { binDirectory, dataDirectory, socketDirectory, settings, logFile, ...(launcher && { launcher }) },
    context,
  )
}

/** What a server that recovers has come to. */
type Stopped =
  | Extract<Outcome, { kind: 'too-low' }>
  | { readonly kind: 'stopped'; readonly status: RecoveryStatus }

/** Waits until the server has paused at its target, or has promoted itself there, and checks that it is the planned one. */
async function waitForStop(server: PrivateServer, attempt: Attempt, context: RunContext): Promise<Stopped> {
  const patience = new ConnectionPatience(attempt.plan.request.targetDirectory, context)
  for (;;) {
    context.signal.throwIfAborted()
    const isAlive = server.isAlive()
    const status = isAlive ? await readStatus(server, { ...attempt, patience }, context) : undefined
    if (status !== undefined) reportProgress(attempt.plan, status, context)
    await refuseEndlessLog(attempt.plan)
    if (!isAlive || status?.isInRecovery === false || status?.pauseState === 'paused') {
      return judge(attempt.plan, { status, log: await server.readLog() })
    }
    await context.clock.sleep(pollIntervalMs, context.signal)
  }
}

/** `status` is undefined when the server has ended. */
function judge(
  { stop, request }: RecoveryPlan,
  { status, log }: { status: RecoveryStatus | undefined; log: string },
): Stopped {
  const line = stopLineOf(log)
  const settings = line === undefined ? insufficientSettings(log) : undefined
  if (settings !== undefined) return { kind: 'too-low', settings }
  if (status === undefined) throw endedEarly(request.targetDirectory, log)
  const problem = checkReached(stop, { status, line })
  if (problem === undefined) return { kind: 'stopped', status }
  throw failed(request.targetDirectory, problem)
}

interface Asking {
  readonly roles: readonly string[]
  readonly patience: ConnectionPatience
}

/** Undefined while the server does not let anybody in yet. */
async function readStatus(
  server: PrivateServer,
  { roles, patience }: Asking,
  context: RunContext,
): Promise<RecoveryStatus | undefined> {
  try {
    await using session = await connectAsAny(server, roles, context)
    const status = await readRecoveryStatus(session)
    patience.connected()
    return status
  } catch (error) {
    context.signal.throwIfAborted()
    // It is starting, or promoting, or going down; whether it lives is asked next.
    if (!isOperationError(error, 'server-unreachable') && !isOperationError(error, 'server-failed'))
      throw error
    if (server.isAlive()) patience.failed(error)
    return undefined
  }
}

async function connectAsAny(
  server: PrivateServer,
  roles: readonly string[],
  context: RunContext,
): Promise<PostgresSession> {
  let failure: unknown
  for (const user of roles) {
    try {
      return await connect({ ...server.conninfo, user, dbname: 'template1' }, context)
    } catch (error) {
      if (isOperationError(error, 'server-unreachable')) throw error
      failure = error
    }
  }
  throw failure
}

function reportProgress(
  { backup, wal }: RecoveryPlan,
  { replayLsn }: RecoveryStatus,
  { report }: RunContext,
): void {
  if (replayLsn === undefined) return
  const done = Math.max(0, Number(replayLsn - backup.startLsn))
  report({
    kind: 'progress',
    phase: 'replaying',
    done,
    total: Math.max(done, Number(wal.endLsn - backup.startLsn)),
    unit: 'bytes',
  })
}

async function finish(
  server: PrivateServer,
  { attempt, status }: { attempt: Attempt; status: RecoveryStatus },
  context: RunContext,
): Promise<Reached> {
  const { plan } = attempt
  const dataDirectory = plan.request.targetDirectory
  const isPromoting = plan.request.target.action === 'promote'
  if (!status.isInRecovery && !isPromoting)
    throw failed(dataDirectory, 'the server promoted although it was not to')
  // Dying before this: not promoted, it is restored anew. After it, once promoted: only what is left is done, because from
  // then on it is a database like any other, which no restore may write over.
  if (isPromoting && plan.leftOut === undefined) await noteRecovered(dataDirectory, recoveredOf(plan, status))
  if (status.isInRecovery && isPromoting) {
    await askForPromotion(server, dataDirectory)
    await waitForPromotion(server, attempt, context)
  }
  await server.stop('fast', context)
  await refuseInvalidPages(plan)
  const { control } = await readControlFile(join(dataDirectory, controlFilePath), context)
  const problem = shutdownProblem(control, { plan, isPromoting })
  if (problem !== undefined) throw failed(dataDirectory, problem)
  return { ...placeOf(plan, status), timeline: control.timeline, isPromoted: isPromoting }
}

/** Only the server's log tells which pages it did without, and every line of it counts: also those of the promotion. */
async function refuseInvalidPages({ leftOut, request }: RecoveryPlan): Promise<void> {
  if (leftOut === undefined) return
  const { targetDirectory } = request
  const found = await findForeignInvalidPage(join(targetDirectory, recoveryLog), leftOut)
  if (found !== undefined)
    throw failed(targetDirectory, `expected only files without a page that were left out, found "${found}"`)
}

async function refuseEndlessLog({ leftOut, request }: RecoveryPlan): Promise<void> {
  if (leftOut === undefined) return
  const bytes = await logBytesOf(join(request.targetDirectory, recoveryLog))
  if (bytes > mostLogBytes)
    throw failed(request.targetDirectory, `too much WAL is about files that were left out`)
}

function recoveredOf(plan: RecoveryPlan, status: RecoveryStatus): Recovered {
  const { lsn, commitTime } = placeOf(plan, status)
  return { goal: goalOf(plan.request), lsn: formatLsn(lsn), commitTime }
}

const placeOf = (
  { stop }: RecoveryPlan,
  { replayLsn, replayedCommitTime }: RecoveryStatus,
): Pick<Reached, 'lsn' | 'commitTime'> => ({
  lsn: replayLsn ?? stop.atLeast,
  commitTime: replayedCommitTime,
})

/** As "pg_ctl promote" does it: no role is needed that may call pg_promote (bin/pg_ctl/pg_ctl.c). */
async function askForPromotion(server: PrivateServer, dataDirectory: string): Promise<void> {
  await replaceDurably(join(dataDirectory, 'promote'), new Uint8Array(), 0o600)
  sendSignal(server.pid, 'SIGUSR1')
}

async function waitForPromotion(
  server: PrivateServer,
  { plan, roles }: Attempt,
  context: RunContext,
): Promise<void> {
  const { targetDirectory } = plan.request
  const patience = new ConnectionPatience(targetDirectory, context)
  for (;;) {
    if (!server.isAlive()) throw endedEarly(targetDirectory, await server.readLog())
    const status = await readStatus(server, { roles, patience }, context)
    if (status?.isInRecovery === false) return
    await context.clock.sleep(pollIntervalMs, context.signal)
  }
}

function shutdownProblem(
  control: ControlFile,
  { plan, isPromoting }: { plan: RecoveryPlan; isPromoting: boolean },
): string | undefined {
  const state = isPromoting ? 'shut down' : 'shut down in recovery'
  if (control.state !== state) return `expected the cluster to be "${state}", found "${control.state}"`
  if (isPromoting && control.timeline <= plan.timeline) {
    return `expected a timeline after ${plan.timeline}, found ${control.timeline}`
  }
  return undefined
}

/** A minimal file of ours, where the backup has none because it is elsewhere on the server, as on Debian; or must not count. */
async function missingConfiguration({ plan, socketDirectory }: Attempt): Promise<Record<string, string>> {
  const { targetDirectory, isIsolated } = plan.request
  const own = join(targetDirectory, 'postgresql.conf')
  if (isIsolated !== true && (await lookAt(own)) !== undefined) return {}
  const path = join(socketDirectory, 'postgresql.conf')
  await writeFile(path, '', { mode: 0o600 })
  return { config_file: path }
}

function endedEarly(dataDirectory: string, log: string): OperationError {
  const reasons = fatalLinesOf(log)
  const why =
    reasons.length === 0 ? `its log ends "${log.trimEnd().split('\n').at(-1) ?? ''}"` : reasons.join('; ')
  if (!/recovery ended before configured recovery target was reached/.test(log))
    return failed(dataDirectory, `the server ended: ${why}`)
  return new OperationError('target-unreachable', `recovering "${dataDirectory}": ${why}`, {
    hint: 'Nothing was promoted. Choose another target, or leave it out to get everything that is archived.',
  })
}

function failed(dataDirectory: string, why: string): OperationError {
  return new OperationError('recovery-failed', `recovering "${dataDirectory}": ${why}`, {
    hint: `Nothing was promoted by us; read "${recoveryLog}" in that directory, then run the same command again.`,
  })
}
