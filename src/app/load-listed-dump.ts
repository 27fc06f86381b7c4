import { selectCluster } from '../config/select-configured.ts'
import type { BackupLabel } from '../domain/backup-label.ts'
import type { RunContext } from '../domain/run-context.ts'
import { chooseDump, chooseMember, formatOf, type WantedMember } from '../logical/choose-member.ts'
import { requireLoadable, type LoadSelection } from '../logical/load-selection.ts'
import { runLoad } from '../logical/run-load.ts'
import { writeDumpDirectory, writeDumpFile } from '../logical/write-dump-file.ts'
import { holdRestoreLease } from '../restore/hold-restore-lease.ts'
import type { Environment } from '../platform/environment.ts'
import type { DumpMember } from '../repository/dump-head.ts'
import { readDumpHead, readMember } from '../repository/dump-reader.ts'
import { readCatalogue } from '../repository/catalogue.ts'
import { clusterConnection } from './cluster-connection.ts'
import { guardRestore } from './guarded-catalogue.ts'
import { openFirstPlace } from './open-archive-places.ts'
import type { ClusterSelection } from './open-cluster.ts'
import { programsFor } from './take-dump.ts'

/** Where a dump goes. */
export type LoadTarget =
  | { readonly kind: 'file'; readonly path: string }
  | {
      readonly kind: 'server'
      /** A connection string; undefined: the cluster's own server. */
      readonly into: string | undefined
      /** Undefined: the database that it is of. */
      readonly database: string | undefined
      readonly isCreated: boolean
    }

export interface LoadListedDumpRequest extends ClusterSelection {
  readonly variables: Environment
  readonly label: BackupLabel
  readonly wanted: WantedMember
  readonly target: LoadTarget
  /** Without its format, which the dump says. */
  readonly selection: Omit<LoadSelection, 'format'>
  readonly acceptsOlder: boolean
  /** How many processes load at once. */
  readonly jobs: number
  /** Where files are kept meanwhile, should it take any. */
  readonly spoolParent: () => Promise<string>
}

export interface LoadedDump {
  readonly member: DumpMember
  /** Undefined: it was written to a file. */
  readonly database: string | undefined
}

/** Loads a part of a dump out of the first repository of the cluster that can be read, or the one that is named. */
export async function loadListedDump(
  request: LoadListedDumpRequest,
  context: RunContext,
): Promise<LoadedDump> {
  const { configuration, clusterName, variables, label, wanted, target, acceptsOlder } = request
  const settings = selectCluster(configuration, clusterName)
  const guard = (candidate: Parameters<typeof guardRestore>[0]): Promise<void> =>
    guardRestore(candidate, acceptsOlder, context)
  await using opened = await openFirstPlace(request, guard, context)
  const [place] = opened.repositories
  // While it is held nothing is swept: neither delete nor expire takes the dump away under our hands.
  await using _ = await holdRestoreLease(place, context)
  const { dumps } = await readCatalogue(place.repository, place.cluster.id, context)
  const entry = chooseDump(dumps, label)
  const member = chooseMember(await readDumpHead(place, entry, context), wanted)
  const chunks = readMember(place, { entry, member }, context)
  if (target.kind === 'file') {
    const write = member.format === 'directory' ? writeDumpDirectory : writeDumpFile
    await write(target.path, chunks, context)
    return { member, database: undefined }
  }
  const selection = { ...request.selection, format: formatOf(member) }
  requireLoadable(selection, request.jobs)
  const isStream = selection.format !== 'directory' && request.jobs === 1
  const spooling = isStream
    ? undefined
    : { parent: await request.spoolParent(), jobs: request.jobs, sizeBytes: member.rawBytes }
  const connection = target.into === undefined ? settings : { connection: target.into }
  const conninfo = clusterConnection(connection, variables)
  const database = target.database ?? member.database ?? conninfo.dbname
  const { programs } = await programsFor({ conninfo, settings, variables }, context)
  const loading = { selection, programs, chunks, spooling }
  await runLoad({ ...loading, conninfo, database, isCreated: target.isCreated }, context)
  return { member, database }
}
