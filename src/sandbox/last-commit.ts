import { formatInstant, parseTargetTime } from '../domain/target-time.ts'
import type { Reached } from '../restore/drive-recovery.ts'

/**
 * When the last commit was made that a recovery has replayed, RFC 3339; undefined when there is none behind the backup. A
 * rollback that comes after it counts too: PostgreSQL does not tell them apart (pg_last_xact_replay_timestamp).
 */
export function lastCommitAt({ commitTime }: Pick<Reached, 'commitTime'>): string | undefined {
  return commitTime === undefined ? undefined : formatInstant(parseTargetTime(commitTime))
}
