import { hostname } from 'node:os'
import { join } from 'node:path'
import { forgetAcknowledgements } from '../archive/repository-set.ts'
import { nextLabel, type BackupLabel } from '../domain/backup-label.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { besides } from '../platform/besides.ts'
import { readProcessIdentity } from '../platform/process-identity.ts'
import { startBackup, type BackupSession } from '../postgres/backup-session.ts'
import { connect } from '../postgres/connection.ts'
import type { Conninfo } from '../postgres/conninfo.ts'
import type { ServerFacts } from '../postgres/server-facts.ts'
import type { BackupEntry } from '../repository/backup-entry.ts'
import { labelsOf, readCatalogue } from '../repository/catalogue.ts'
import type { ClusterRecord } from '../repository/cluster-record.ts'
import { acquireLease, type Lease } from '../repository/lease.ts'
import { packPrefix } from '../repository/object-keys.ts'
import type { Repository } from '../repository/open-repository.ts'
import { copyCluster, type CopiedCluster } from './copy-cluster.ts'
import { findParent } from './find-parent.ts'
import { proveLineage, type ChosenParent } from './prove-lineage.ts'
import { discardPacks } from './discard-packs.ts'
import { awaitTestSegment, writeTestSegment } from './prove-archiving.ts'
import { prepareServer } from './prepare-server.ts'
import { publishBackup } from './publish-backup.ts'
import { storeNames } from './store-names.ts'
import type { LinkPolicy } from './scan-data-directory.ts'

export interface BackupRequest {
  readonly conninfo: Conninfo
  /** Undefined: where the server says. */
  readonly dataDirectory: string | undefined
  readonly links: LinkPolicy
  /** True: the server makes its checkpoint at once. */
  readonly isCheckpointFast: boolean
  readonly workers: number | undefined
  readonly compressionLevel: number
  readonly maxRate: number | undefined
  /** Undefined: incremental when there is a backup to go on from, else full. */
  readonly type: 'full' | 'incr' | undefined
  /** True: read everything and compare it with what the WAL says. Else that is done now and then, see `auditEvery`. */
  readonly isAudit: boolean
  /** An incremental is audited when it is the first after a full backup, and when so many have been taken since the last. */
  readonly auditEvery: number
  /** Backups that are known to be damaged: nothing is built on them. */
  readonly damaged: ReadonlySet<BackupLabel>
  /** How long to wait for the WAL of the backup to be in the repository. */
  readonly archiveTimeoutMs: number
}

export interface BackupTools {
  readonly repository: Repository
  readonly cluster: ClusterRecord
}

/**
 * Takes a backup: a full one, or one that goes on from another and reads only what the WAL says has changed since. Either
 * restores by itself. It is listed only when every file, every WAL segment from its start to its stop and its manifest
 * are in the repository. When it fails, or is killed, nothing is listed; the packs of an orderly failure are removed, those
 * of a killed one are garbage that stands in nobody's way.
 *
 * The phases, and what is in the repository if we die in them: preparing (nothing), copying (packs that nothing refers
 * to), waiting for the WAL and storing the manifest (a manifest that no catalogue entry lists), done (the backup).
 */
export async function runBackup(
  request: BackupRequest,
  tools: BackupTools,
  context: RunContext,
): Promise<BackupEntry> {
  const { repository, cluster } = tools
  await using lease = await acquireLease(
    repository,
    {
      clusterId: cluster.id,
      scope: 'backup',
      purpose: `backup of cluster "${cluster.name}" by ${hostname()}`,
      holder: readProcessIdentity(),
    },
    context,
  )
  const held = withSignals(context, lease.lost)
  const facts = await prepareServer(request, tools, held)
  // Repositories may have come since: what was archived ahead before may not be in them.
  await forgetAcknowledgements(join(facts.dataDirectory, 'pg_wal'), held)
  const listed = await readCatalogue(repository, cluster.id, held)
  const parent = await findParent({ request, facts, listed: listed.backups }, tools, held)
  const kind = parent === undefined ? 'full' : 'incr'
  const label = await chooseLabel({ repository, cluster, taken: labelsOf(listed), kind }, held)
  const taking = { request, tools, lease, facts, label, parent }
  const sort = parent === undefined ? 'full' : parent.isAudit ? 'audited incremental' : 'incremental'
  held.report({ kind: 'note', message: `${sort} backup ${label} of cluster "${cluster.name}" starts` })
  try {
    return await besides(
      {
        other: (proving) => proveArchiving(taking, tools, proving),
        work: (working, proof) => takeBackup({ ...taking, proof }, working),
      },
      held,
    )
  } catch (error) {
    await discardPacks({ repository, clusterId: cluster.id, label, lease }, context)
    throw error
  }
}

interface Taking {
  readonly request: BackupRequest
  readonly tools: BackupTools
  readonly lease: Lease
  readonly facts: ServerFacts
  readonly label: BackupLabel
  readonly parent: ChosenParent | undefined
}

async function takeBackup(
  taking: Taking & {
    /** That the server's archiver works. */
    readonly proof: Promise<void>
  },
  context: RunContext,
): Promise<BackupEntry> {
  const { request, tools, label, lease, proof } = taking
  await using session = await startBackup(
    request.conninfo,
    { label: `holdfast ${label}`, fast: request.isCheckpointFast },
    context,
  )
  const inSession = withSignals(context, session.lost)
  await using _ = nameRelations(session, taking, inSession)
  await using copied = await copyWithin(session, taking, inSession)
  const stopped = await session.stop()
  // Before that nothing may be pushed but by the archiver: it would prove nothing.
  await proof
  return await publishBackup({ ...taking, started: session.started, stopped, copied }, tools, {
    context,
    confirm: () => lease.confirm(),
  })
}

/** Begins to store names while files are copied. Disposing waits until they are stored. */
function nameRelations(
  { started }: BackupSession,
  { request, tools }: Taking,
  context: RunContext,
): AsyncDisposable {
  const { conninfo } = request
  const naming = storeNames({ conninfo, timeline: started.timeline }, tools, context)
  return { [Symbol.asyncDispose]: () => naming }
}

async function copyWithin(
  session: BackupSession,
  taking: Taking,
  context: RunContext,
): Promise<CopiedCluster> {
  const { request, facts, label, tools, parent } = taking
  const { started } = session
  try {
    const lineage = parent && (await proveLineage({ parent, facts, started }, tools, context))
    return await copyCluster({ request, facts, label, started, lineage }, tools, context)
  } catch (error) {
    // The loss of the session shows as a cancellation deep down; what the operator needs is the reason.
    if (session.lost.aborted) throw session.lost.reason
    throw error
  }
}

/**
 * A backup whose WAL does not arrive is worth nothing: better known a minute into an hour of copying than after it (R3). What
 * is copied meanwhile is thrown away when it is not proven, and nothing is lost by not waiting when it is.
 */
async function proveArchiving(
  { request, facts, label }: Pick<Taking, 'request' | 'facts' | 'label'>,
  place: BackupTools,
  context: RunContext,
): Promise<void> {
  await using session = await connect(request.conninfo, context)
  const lsn = await writeTestSegment(session, `holdfast backup ${label}`)
  await awaitTestSegment({ lsn, facts, session, timeoutMs: request.archiveTimeoutMs }, [place], context)
}

interface LabelChoice {
  /** Of backups and dumps. */
  readonly taken: Set<BackupLabel>
  readonly kind: BackupEntry['type']
}

/** Unique and rising even if the clock went back, also against packs of a backup that was killed (R19). */
async function chooseLabel(
  { repository, cluster, taken, kind }: BackupTools & LabelChoice,
  context: RunContext,
): Promise<BackupLabel> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const label = nextLabel(context.clock.now(), kind, taken)
    if (!(await hasPacks(repository, { clusterId: cluster.id, label }, context))) return label
    taken.add(label)
  }
  throw new OperationError(
    'busy',
    `choosing a label for a backup of cluster "${cluster.name}": a hundred are taken`,
  )
}

async function hasPacks(
  { store }: Repository,
  { clusterId, label }: { clusterId: string; label: BackupLabel },
  context: RunContext,
): Promise<boolean> {
  const packs = store.list(packPrefix(clusterId, label), context)[Symbol.asyncIterator]()
  const { done } = await packs.next()
  await packs.return?.()
  return done !== true
}

const withSignals = (context: RunContext, ...signals: readonly AbortSignal[]): RunContext => ({
  ...context,
  signal: AbortSignal.any([context.signal, ...signals]),
})
