import { parseLsn, type Lsn } from '../domain/lsn.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { PostgresSession } from './connection.ts'

/** What pg_stat_archiver counts. It lies in two ways (M12): check the backlog and the repository too. */
export interface ArchiverStatus {
  readonly archivedCount: bigint
  readonly lastArchivedName: string | undefined
  /** Times as timestamptz prints them, in UTC. */
  readonly lastArchivedTime: string | undefined
  readonly failedCount: bigint
  readonly lastFailedName: string | undefined
  readonly lastFailedTime: string | undefined
  readonly countedSince: string | undefined
}

interface ArchiverRow {
  archived_count: string
  last_archived_wal: string | null
  last_archived_time: string | null
  failed_count: string
  last_failed_wal: string | null
  last_failed_time: string | null
  stats_reset: string | null
}

export async function readArchiverStatus(session: PostgresSession): Promise<ArchiverStatus> {
  const [row] = await session.query<ArchiverRow>(
    `select archived_count, last_archived_wal, last_archived_time, failed_count, last_failed_wal, last_failed_time,
            stats_reset
       from pg_catalog.pg_stat_archiver`,
    [],
    { doing: 'reading the archiver statistics' },
  )
  if (row === undefined)
    throw new OperationError('server-failed', `${session.description} has no archiver statistics`)
  return {
    archivedCount: BigInt(row.archived_count),
    lastArchivedName: row.last_archived_wal ?? undefined,
    lastArchivedTime: row.last_archived_time ?? undefined,
    failedCount: BigInt(row.failed_count),
    lastFailedName: row.last_failed_wal ?? undefined,
    lastFailedTime: row.last_failed_time ?? undefined,
    countedSince: row.stats_reset ?? undefined,
  }
}

/**
 * Ends the current segment so that it can be archived. Returns the end of what was written in it; when nothing was
 * written since the last switch it is a no-op. Only a primary can do it (R58).
 */
export async function switchWal(session: PostgresSession): Promise<Lsn> {
  const rows = await session.query<LsnRow>('select pg_catalog.pg_switch_wal() as lsn', [], {
    doing: 'switching to a new WAL segment',
    grant: 'EXECUTE ON FUNCTION pg_catalog.pg_switch_wal()',
  })
  return lsnOf(rows)
}

/** PostgreSQL keeps 63 bytes of a restore point's name (MAXFNAMELEN - 1). */
const longestRestorePointBytes = 63

/** Writes a named mark into the WAL that recovery can stop at. Only a primary can do it (R58). */
export async function createRestorePoint(session: PostgresSession, name: string): Promise<Lsn> {
  const sizeBytes = Buffer.byteLength(name)
  if (sizeBytes === 0 || sizeBytes > longestRestorePointBytes || name.includes('\0')) {
    throw new OperationError(
      'usage',
      `restore point "${name}" has ${sizeBytes} bytes, expected 1 to ${longestRestorePointBytes}`,
    )
  }
  const rows = await session.query<LsnRow>('select pg_catalog.pg_create_restore_point($1) as lsn', [name], {
    doing: 'creating a restore point',
    grant: 'EXECUTE ON FUNCTION pg_catalog.pg_create_restore_point(text)',
  })
  return lsnOf(rows)
}

/** The end of what a primary has written. */
export async function currentWalLsn(session: PostgresSession): Promise<Lsn> {
  const rows = await session.query<LsnRow>('select pg_catalog.pg_current_wal_lsn() as lsn', [], {
    doing: 'reading the WAL position',
  })
  return lsnOf(rows)
}

interface LsnRow {
  lsn: string
}

function lsnOf(rows: readonly LsnRow[]): Lsn {
  return parseLsn(rows[0]?.lsn ?? '')
}
