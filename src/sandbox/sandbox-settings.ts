import type { PostgresMajor } from '../domain/postgres-version.ts'
import type { ControlFile } from '../postgres/control-file.ts'

/** The same for a server that stays in recovery: it goes on to fetch WAL, and is read-only by nature. */
export function pausedSettings(
  control: ControlFile,
  major: PostgresMajor,
  { configFile }: { readonly configFile: string },
): Record<string, string> {
  const settings = sandboxSettings(control, major, { configFile, isReadOnly: true })
  delete settings['restore_command']
  return settings
}

/**
 * What a throw-away server is told on its command line, over all configuration files (R63, M17): it reaches nobody, starts
 * no work of its own, and loads nothing of the cluster's. What it loses with a crash nobody misses.
 */
export function sandboxSettings(
  control: ControlFile,
  major: PostgresMajor,
  { configFile, isReadOnly }: { readonly configFile: string; readonly isReadOnly: boolean },
): Record<string, string> {
  return {
    config_file: configFile,
    shared_preload_libraries: '',
    session_preload_libraries: '',
    local_preload_libraries: '',
    ...(major >= 17 && { event_triggers: 'off' }),
    archive_mode: 'off',
    primary_conninfo: '',
    primary_slot_name: '',
    restore_command: '',
    max_logical_replication_workers: '0',
    max_wal_senders: '0',
    max_replication_slots: '0',
    autovacuum: 'off',
    fsync: 'off',
    default_transaction_read_only: isReadOnly ? 'on' : 'off',
    max_connections: '20',
    // Prepared transactions of the cluster need their places.
    max_prepared_transactions: String(control.maxPreparedTransactions),
  }
}
