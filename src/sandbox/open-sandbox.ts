import type { BackupLabel } from '../domain/backup-label.ts'
import { isOperationError, OperationError } from '../domain/operation-error.ts'
import type { RecoveryTarget } from '../domain/recovery-target.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { TimelineHistory } from '../domain/timeline-history.ts'
import { findNetworkCutter } from '../platform/network-namespace.ts'
import { connect, type PostgresSession } from '../postgres/connection.ts'
import type { Conninfo } from '../postgres/conninfo.ts'
import type { PrivateServer } from '../postgres/server-process.ts'
import type { Reached } from '../restore/drive-recovery.ts'
import type { GatheredFacts } from '../restore/gather-restore-facts.ts'
import type { Layout } from '../restore/layout.ts'
import type { RestorePlan } from '../restore/plan-restore.ts'
import type { RestoreRequest } from '../restore/restore-request.ts'
import { prepareRestore, runRestore, type RestoreResult, type RestoreTools } from '../restore/run-restore.ts'
import { PausedSandboxServer } from './paused-server.ts'
import { makeSandboxFolder, type SandboxFolder } from './sandbox-folder.ts'
import { makeSandboxSite, startSandboxServer, type SandboxSite } from './sandbox-server.ts'

export interface SandboxRequest {
  /** Where sandboxes are made. Absolute; made if missing. */
  readonly parent: string
  /** Undefined: the newest backup that fits the target. */
  readonly backup: BackupLabel | undefined
  readonly target: RecoveryTarget
  /** Whether transactions in it are read-only, unless they say otherwise. */
  readonly isReadOnly: boolean
  /** It stays in recovery, paused at the target, so that it can go on; default: it is promoted. */
  readonly isPaused?: boolean
  /** Called when it is proven that the target can be reached, as far as that can be known, before anything is restored. */
  readonly onPlanned?: (plan: RestorePlan) => void
  /** What is not restored. Undefined: the server has everything. */
  readonly leaveOut?: NonNullable<RestoreRequest['leaveOut']>
}

interface SandboxSource extends Pick<GatheredFacts, 'archived'>, Pick<Layout, 'files'> {
  readonly history: TimelineHistory
}

/** A throw-away server on a restored cluster. Disposing it stops the server and removes everything. */
export interface Sandbox extends AsyncDisposable {
  readonly plan: RestorePlan
  readonly reached: Reached
  /** The timelines that the recovery followed, what is archived, and the files as they were backed up. */
  readonly source: SandboxSource
  /** How long its parts took, in milliseconds, and what was written. */
  readonly restored: RestoreResult
  /** Of a superuser, on a socket that only this user can reach. */
  readonly conninfo: Conninfo
  readonly server: PrivateServer
  /** False: it runs in a network namespace of its own, and reaches nobody whatever is asked of it. */
  readonly hasNetwork: boolean
  /** Goes on to a later target: `PausedSandboxServer`. Undefined when it was promoted. */
  readonly advance: PausedSandboxServer['advance'] | undefined
  /** The folder that holds all of it. */
  readonly path: string
}

/**
 * Restores a backup into a folder of its own, recovers it to the target, and starts a server on it that is cut off from
 * everything: no TCP, no archiving, no subscriptions, no jobs, no libraries of the cluster, its own authentication (R63).
 * Throws what `prepareRestore` and `runRestore` throw.
 */
export async function openSandbox(
  request: SandboxRequest,
  tools: RestoreTools,
  context: RunContext,
): Promise<Sandbox> {
  await using opened = new AsyncDisposableStack()
  const folder = opened.use(await makeSandboxFolder(request.parent, context))
  const prepared = await prepareRestore(
    {
      targetDirectory: folder.dataDirectory,
      tablespaceFolder: folder.tablespaceFolder,
      backup: request.backup,
      target: { ...request.target, action: request.isPaused === true ? 'pause' : 'promote' },
      isDelta: false,
      tablespaceMap: [],
      isFilesOnly: false,
      continuesLineage: false,
      isIsolated: true,
      ...(request.leaveOut && { leaveOut: request.leaveOut }),
    },
    tools,
    context,
  )
  request.onPlanned?.(prepared.plan)
  const restored = await runRestore(prepared, tools, context)
  const { plan, reached } = restored
  if (reached === undefined || prepared.serverBinaries === undefined)
    throw new Error('a restore that recovers says nothing of its recovery')
  const { serverBinaries, facts } = prepared
  const source = { history: facts.route.history, archived: facts.archived, files: facts.layout.files }
  const { isPaused = false, isReadOnly } = request
  const used = { ...tools, place: prepared.place }
  const site = await prepareSite({ folder, tools: used, isPaused }, opened, context)
  const held: HeldServer = isPaused
    ? opened.use(
        await PausedSandboxServer.start({ ...site, binaries: serverBinaries, tools: used }, plan, context),
      )
    : {
        server: opened.use(await startSandboxServer({ ...site, serverBinaries, isReadOnly }, context)),
        reached,
      }
  const conninfo = await firstRole(held.server, tools.roles, context)
  const lifetime = opened.move()
  return {
    plan,
    get reached() {
      return held.reached
    },
    source,
    restored,
    conninfo,
    get server() {
      return held.server
    },
    path: folder.path,
    hasNetwork: site.launcher === undefined,
    advance: held.advance?.bind(held),
    [Symbol.asyncDispose]: () => lifetime.disposeAsync(),
  }
}

/** What runs in a sandbox: one that can go on is replaced when it does. */
interface HeldServer {
  readonly server: PrivateServer
  readonly reached: Reached
  readonly advance?: PausedSandboxServer['advance']
}

/** A sandbox that is not paused reaches nobody, not even through the network of this machine, where that is possible. */
async function prepareSite(
  {
    folder,
    tools,
    isPaused,
  }: { readonly folder: SandboxFolder; readonly tools: RestoreTools; readonly isPaused: boolean },
  opened: AsyncDisposableStack,
  context: RunContext,
): Promise<SandboxSite> {
  const site = await makeSandboxSite(folder, opened, context)
  // One that goes on with its recovery fetches WAL, and a repository may be somewhere else in the network.
  const { repository, spares } = tools.place
  const isLocal = repository.store.location.startsWith('posix:') && spares?.areMixed !== true
  const launcher = isPaused && !isLocal ? undefined : await findNetworkCutter(context.signal)
  return { ...site, launcher }
}

/** The first of the roles that is there. Waits until the server lets somebody in. */
async function firstRole(
  server: PrivateServer,
  roles: readonly string[],
  context: RunContext,
): Promise<Conninfo> {
  let failure: unknown
  for (const user of roles) {
    const conninfo = { ...server.conninfo, user, dbname: 'template1' }
    try {
      await using _ = await patiently(server, conninfo, context)
      return { ...conninfo, dbname: 'postgres' }
    } catch (error) {
      if (!isOperationError(error, 'server-lacks-privilege')) throw error
      failure = error
    }
  }
  throw failure
}

const pollIntervalMs = 50
const mostPolls = 1200

async function patiently(
  server: PrivateServer,
  conninfo: Conninfo,
  context: RunContext,
): Promise<PostgresSession> {
  for (let poll = 0; ; poll += 1) {
    try {
      return await connect(conninfo, context)
    } catch (error) {
      const isStarting = isOperationError(error, 'server-unreachable') && server.isAlive() && poll < mostPolls
      if (!isStarting) throw server.isAlive() ? error : ended(await server.readLog(), error)
      await context.clock.sleep(pollIntervalMs, context.signal)
    }
  }
}

function ended(log: string, cause: unknown): OperationError {
  const last = log.trimEnd().split('\n').at(-1) ?? ''
  return new OperationError('recovery-failed', `starting a sandbox: its server ended: ${last}`, { cause })
}
