import { parseLsn, type Lsn } from '../domain/lsn.ts'
import { OperationError } from '../domain/operation-error.ts'
import { type TimelineId } from '../domain/timeline.ts'
import type { PostgresSession } from './connection.ts'
import { readTimeline } from './server-facts.ts'

/** How far a server's recovery has come. */
export interface RecoveryStatus {
  readonly isInRecovery: boolean
  /** The end of the last record that was replayed; after recovery it keeps the last value of this server's life. */
  readonly replayLsn: Lsn | undefined
  /** Of the last commit or abort that was replayed, as timestamptz prints it in UTC. */
  readonly replayedCommitTime: string | undefined
  /** Undefined when not in recovery. */
  readonly pauseState: 'not paused' | 'pause requested' | 'paused' | undefined
  readonly timeline: TimelineId
}

interface StatusRow {
  in_recovery: string
  replay_lsn: string | null
  commit_time: string | null
  pause_state: string | null
}

const doing = 'reading the state of recovery'

/** CASE, because the pause state cannot be asked outside recovery; a promotion in between is one more error to retry. */
const statusQuery = `
  select pg_catalog.pg_is_in_recovery() as in_recovery,
         pg_catalog.pg_last_wal_replay_lsn() as replay_lsn,
         pg_catalog.pg_last_xact_replay_timestamp() as commit_time,
         case when pg_catalog.pg_is_in_recovery() then pg_catalog.pg_get_wal_replay_pause_state() end as pause_state`

export async function readRecoveryStatus(session: PostgresSession): Promise<RecoveryStatus> {
  const [row] = await session.query<StatusRow>(statusQuery, [], { doing })
  if (row === undefined)
    throw new OperationError('server-failed', `${session.description} gave no recovery state`)
  return {
    isInRecovery: row.in_recovery === 't',
    replayLsn: row.replay_lsn === null ? undefined : parseLsn(row.replay_lsn),
    replayedCommitTime: row.commit_time ?? undefined,
    pauseState: pauseStateOf(row.pause_state),
    timeline: await readTimeline(session),
  }
}

/**
 * Asks the server to end recovery on a new timeline and returns at once: watch `isInRecovery` for the end. This, and never
 * the removal of recovery.signal, is how recovery is finished (M9, R43).
 */
export async function promote(session: PostgresSession): Promise<void> {
  const [row] = await session.query<{ promoted: string }>(
    'select pg_catalog.pg_promote(wait => false) as promoted',
    [],
    { doing: 'promoting', grant: 'EXECUTE ON FUNCTION pg_catalog.pg_promote(boolean, integer)' },
  )
  if (row?.promoted !== 't') {
    throw new OperationError('server-failed', `${session.description} could not be told to promote`)
  }
}

function pauseStateOf(text: string | null): RecoveryStatus['pauseState'] {
  return text === 'not paused' || text === 'pause requested' || text === 'paused' ? text : undefined
}
