import type { PostgresMajor } from '../domain/postgres-version.ts'
import type { ControlFile } from '../postgres/control-file.ts'
import type { RestorePlan } from './plan-restore.ts'

/**
 * What the server of a recovery is told on its command line, over all configuration files: it reaches nobody, starts no
 * work of its own, and pauses at the target.
 */
export function recoveryServerSettings(
  control: ControlFile,
  { request, leftOut }: Pick<RestorePlan, 'request' | 'leftOut'>,
  major: PostgresMajor,
): Record<string, string> {
  return {
    hot_standby: 'on',
    // That a setting is too low for the WAL is said in a warning.
    log_min_messages: 'warning',
    ...(leftOut && forgoing),
    recovery_target_action: 'pause',
    recovery_end_command: '',
    archive_cleanup_command: '',
    // Applied to recoveries from an archive too: replay would wait for each commit to be old enough.
    recovery_min_apply_delay: '0',
    primary_conninfo: '',
    primary_slot_name: '',
    // A restored subscription would fetch from the publisher as if it were the original (M17).
    max_logical_replication_workers: '0',
    // Our own sessions run nothing of the cluster's: a library that this host lacks, or a login trigger that fails, would
    // keep us from asking how far recovery has come. Libraries that the server loads stay: replay may need them.
    session_preload_libraries: '',
    local_preload_libraries: '',
    ...(major >= 17 && { event_triggers: 'off' }),
    ...archiving(request.continuesLineage, major),
    // Less than the source had keeps a hot standby from starting.
    max_connections: String(control.maxConnections),
    max_worker_processes: String(control.maxWorkerProcesses),
    max_wal_senders: String(control.maxWalSenders),
    max_prepared_transactions: String(control.maxPreparedTransactions),
    max_locks_per_transaction: String(control.maxLocksPerTransaction),
  }
}

/** Where files were left out, records find no page; each is told in two lines. */
const forgoing = { ignore_invalid_pages: 'on', log_error_verbosity: 'terse' }

/**
 * With archiving on and nothing to archive with, the server notes the history file and the segments of the new timeline as
 * ready; the restored cluster archives them when it is started for good. A copy notes nothing.
 */
function archiving(continuesLineage: boolean, major: PostgresMajor): Record<string, string> {
  if (!continuesLineage) return { archive_mode: 'off' }
  return { archive_mode: 'on', archive_command: '', ...(major >= 15 && { archive_library: '' }) }
}

/** The settings that a server found too low for the WAL it replays, with the values they need; undefined: none. */
export function insufficientSettings(log: string): Readonly<Record<string, string>> | undefined {
  if (!log.includes('insufficient parameter settings')) return undefined
  const found = [
    ...log.matchAll(
      /(max_[a-z_]+) = \d+ is a lower setting than on the primary server, where its value was (\d+)/g,
    ),
  ]
  return found.length === 0
    ? undefined
    : Object.fromEntries(found.map(([, name = '', value = '']) => [name, value]))
}
