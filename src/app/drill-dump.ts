import { selectCluster, type ClusterConfiguration } from '../config/select-configured.ts'
import type { BackupLabel } from '../domain/backup-label.ts'
import { isOperationError } from '../domain/operation-error.ts'
import { postgresMajors } from '../domain/postgres-version.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { DumpDrillReport } from '../drill/dump-drill-report.ts'
import { storeDumpDrill } from '../drill/dump-drill-store.ts'
import { runDumpDrill, unreadableDump, type DumpDrillTools } from '../drill/run-dump-drill.ts'
import { chooseDump, chooseMember } from '../logical/choose-member.ts'
import type { Environment } from '../platform/environment.ts'
import { findClusterMaker } from '../postgres/binaries.ts'
import { findClientPrograms } from '../postgres/client-programs.ts'
import { readCatalogue } from '../repository/catalogue.ts'
import type { ListedDump } from '../repository/dump-entry.ts'
import type { DumpHead } from '../repository/dump-head.ts'
import { readDumpHead, type DumpPlace } from '../repository/dump-reader.ts'
import { holdRestoreLease } from '../restore/hold-restore-lease.ts'
import { openEmptyServer } from '../sandbox/open-empty-server.ts'
import { guardRestore } from './guarded-catalogue.ts'
import { openFirstPlace } from './open-archive-places.ts'
import type { ClusterSelection } from './open-cluster.ts'

export interface DrillDumpRequest extends ClusterSelection {
  readonly variables: Environment
  readonly label: BackupLabel
  readonly assertions: readonly string[]
  /** Where they run; undefined: in the only database of the dump. */
  readonly assertionDatabase: string | undefined
  /** Where the server is made. */
  readonly parent: string
  readonly acceptsOlder: boolean
}

/**
 * Proves a dump out of the first repository of the cluster that can be read, or the one that is named, and keeps the report
 * there. Throws what keeps it from being tried.
 */
export async function drillDump(request: DrillDumpRequest, context: RunContext): Promise<DumpDrillReport> {
  const { configuration, clusterName, label } = request
  const settings = selectCluster(configuration, clusterName)
  const guard = (candidate: Parameters<typeof guardRestore>[0]): Promise<void> =>
    guardRestore(candidate, request.acceptsOlder, context)
  await using opened = await openFirstPlace(request, guard, context)
  const [place] = opened.repositories
  await using _ = await holdRestoreLease(place, context)
  const { dumps } = await readCatalogue(place.repository, place.cluster.id, context)
  const listed = chooseDump(dumps, label)
  const report = await prove({ ...request, place, listed, settings }, context)
  await storeDumpDrill(report, place, context)
  return report
}

interface Proving extends DrillDumpRequest {
  readonly place: DumpPlace
  readonly listed: ListedDump
  readonly settings: ClusterConfiguration
}

async function prove(request: Proving, context: RunContext): Promise<DumpDrillReport> {
  const { place, listed, assertions, parent } = request
  let head: DumpHead
  try {
    head = await readDumpHead(place, listed, context)
  } catch (error) {
    if (!isOperationError(error, 'damaged')) throw error
    return unreadableDump(listed, error, context)
  }
  const assertionDatabase = whereToAssert(head, request)
  const { binaries, programs } = await findPrograms(head, request, context)
  const open: DumpDrillTools['open'] = (wanted) => openEmptyServer({ ...wanted, parent, binaries }, context)
  const tools = { place, programs, serverVersion: binaries.version, spoolParent: parent, open }
  return runDumpDrill({ head, assertions, assertionDatabase }, tools, context)
}

/** Throws `usage` and `not-found` when no database of the dump is meant. */
function whereToAssert(
  head: DumpHead,
  { assertions, assertionDatabase: database }: DrillDumpRequest,
): string | undefined {
  if (assertions.length === 0) return undefined
  return chooseMember(head, database === undefined ? undefined : { database }).database
}

interface Search {
  readonly settings: Pick<ClusterConfiguration, 'binDirectory'>
  readonly variables: Environment
}

/** Programs that fit: the server is not older than the one that was dumped, nor pg_restore than pg_dump was. */
async function findPrograms(
  { facts }: DumpHead,
  { settings: { binDirectory }, variables }: Search,
  context: RunContext,
): Promise<
  Pick<DumpDrillTools, 'programs'> & { readonly binaries: Awaited<ReturnType<typeof findClusterMaker>> }
> {
  const search = {
    searchPath: variables['PATH'] ?? '',
    ...(binDirectory !== undefined && { configured: binDirectory }),
  }
  const oldest = majorOf(facts['server version']) ?? postgresMajors[0]
  const binaries = await findClusterMaker(oldest, search, context.signal)
  const dumpedBy = majorOf(facts['client version']) ?? 0
  const major = postgresMajors.find((known) => known >= binaries.major && known >= dumpedBy) ?? binaries.major
  const minor = major === binaries.major ? minorOf(binaries.version) : 0
  return { binaries, programs: await findClientPrograms({ major, minor }, search, context) }
}

const majorOf = (version: string | undefined): number | undefined => {
  const major = /^(\d+)/.exec(version ?? '')?.[1]
  return major === undefined ? undefined : Number(major)
}

const minorOf = (version: string): number => Number(/^\d+\.(\d+)/.exec(version)?.[1] ?? 0)
