import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { connect } from '../postgres/connection.ts'
import { readServerFacts, type ServerFacts } from '../postgres/server-facts.ts'
import { assertSameCluster } from '../repository/cluster-record.ts'
import { refuseOtherDataDirectory } from './check-data-directory.ts'
import type { BackupRequest, BackupTools } from './run-backup.ts'

/**
 * Asks the server about itself and refuses, before anything is begun, a server whose backup could not be restored (R3):
 * another cluster than the repository's, a standby, one without archiving, one whose data directory is not on this host.
 */
export async function prepareServer(
  { conninfo, dataDirectory }: Pick<BackupRequest, 'conninfo' | 'dataDirectory'>,
  { repository, cluster }: BackupTools,
  context: RunContext,
): Promise<ServerFacts> {
  await using session = await connect(conninfo, context)
  const facts = await readServerFacts(session)
  assertSameCluster(
    cluster,
    {
      systemIdentifier: facts.systemIdentifier,
      major: facts.version.major,
      walSegmentSize: facts.walSegmentSize,
    },
    repository.store.location,
  )
  refuseUnsuitable(facts, cluster.name)
  const local = { ...facts, dataDirectory: dataDirectory ?? facts.dataDirectory }
  await refuseOtherDataDirectory(local, context)
  return local
}

function refuseUnsuitable(facts: ServerFacts, name: string): void {
  const refusal = findRefusal(facts)
  if (refusal === undefined) return
  throw new OperationError('server-unsuitable', `backing up cluster "${name}": ${refusal.found}`, {
    hint: refusal.hint,
  })
}

function findRefusal(facts: ServerFacts): { found: string; hint: string } | undefined {
  if (facts.isInRecovery) {
    return {
      found: 'expected a primary, found a server in recovery',
      hint: 'Name the connection of the primary; this version takes no backups from standbys.',
    }
  }
  if (facts.walLevel === 'minimal') {
    return {
      found: 'expected "wal_level" to be "replica" or "logical", found "minimal"',
      hint: 'Run "holdfast init --apply", then restart the server.',
    }
  }
  if (facts.archiveMode === 'off') {
    return {
      found: 'expected "archive_mode" to be "on", found "off": a backup without its WAL cannot be restored',
      hint: 'Run "holdfast init --apply", then restart the server.',
    }
  }
  return undefined
}
