import { join } from 'node:path'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { connect } from '../postgres/connection.ts'
import { readControlFile } from '../postgres/control-file.ts'
import { readServerFacts, type ServerFacts } from '../postgres/server-facts.ts'
import { assertSameCluster } from '../repository/cluster-record.ts'
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
  await refuseOtherDataDirectory({ ...facts, dataDirectory: dataDirectory ?? facts.dataDirectory }, context)
  return { ...facts, dataDirectory: dataDirectory ?? facts.dataDirectory }
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

/** The connection may lead to another host or another server than the files: then we would copy the wrong ones. */
async function refuseOtherDataDirectory(facts: ServerFacts, context: RunContext): Promise<void> {
  const path = join(facts.dataDirectory, 'global', 'pg_control')
  const { control } = await readControlFile(path, context)
  if (control.systemIdentifier === facts.systemIdentifier) return
  throw new OperationError(
    'cluster-mismatch',
    `reading "${path}": expected system identifier ${facts.systemIdentifier} as the server says, found ${control.systemIdentifier}`,
    {
      hint: 'Set "data-directory" of the cluster to the data directory of the server that "connection" leads to.',
    },
  )
}
