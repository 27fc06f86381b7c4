import { join } from 'node:path'
import { formatLsn } from '../domain/lsn.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { StartedBackup } from '../postgres/backup-session.ts'
import { readControlFile, type ControlFile } from '../postgres/control-file.ts'
import type { ServerFacts } from '../postgres/server-facts.ts'

/** Where a cluster's control file is. */
export const controlFileOf = (dataDirectory: string): string => join(dataDirectory, 'global', 'pg_control')

const hint =
  'Set "data-directory" of the cluster to the data directory of the server that "connection" leads to, on this host.'

/** The connection may lead to another host or another server than the files: then we would copy the wrong ones. */
export async function refuseOtherDataDirectory(
  facts: Pick<ServerFacts, 'dataDirectory' | 'systemIdentifier'>,
  context: RunContext,
): Promise<void> {
  const path = controlFileOf(facts.dataDirectory)
  const { control } = await readControlFile(path, context)
  if (control.systemIdentifier === facts.systemIdentifier) return
  throw new OperationError(
    'cluster-mismatch',
    `reading "${path}": expected system identifier ${facts.systemIdentifier} as the server says, found ${control.systemIdentifier}`,
    { hint },
  )
}

/**
 * A copy of the cluster, or a standby of it, has the same system identifier. But only the directory of the server that
 * has just begun the backup holds the checkpoint that it began with (R5). Call it after the start.
 */
export async function refuseIdleDataDirectory(
  { dataDirectory, started }: { readonly dataDirectory: string; readonly started: StartedBackup },
  context: RunContext,
): Promise<void> {
  const path = controlFileOf(dataDirectory)
  const { control } = await readControlFile(path, context)
  const found = findDifference(control, started)
  if (found === undefined) return
  throw new OperationError(
    'cluster-mismatch',
    `reading "${path}" after the backup began: ${found}: it is not the directory of the server that is backed up`,
    { hint },
  )
}

function findDifference(control: ControlFile, { startLsn, timeline }: StartedBackup): string | undefined {
  if (control.state !== 'in production') return `expected a cluster in production, found one ${control.state}`
  if (control.timeline !== timeline) return `expected timeline ${timeline}, found ${control.timeline}`
  if (control.redoLsn >= startLsn) return undefined
  return `expected a checkpoint from ${formatLsn(startLsn)} on, found one at ${formatLsn(control.redoLsn)}`
}
