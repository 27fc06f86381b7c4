/** Their contents mean something to the running server only; the folders themselves must exist (basebackup.c). */
const emptiedFolders: ReadonlySet<string> = new Set(
  'pg_wal pg_replslot pg_stat_tmp pg_dynshmem pg_notify pg_serial pg_snapshots pg_subtrans'.split(' '),
)

/** Folders below those that must exist too; summaries from 17 on. */
const keptFolders: ReadonlySet<string> = new Set(['pg_wal/archive_status', 'pg_wal/summaries'])

/** Directly in the data directory. A copied label, signal or pid file would be worse than useless. */
const excludedFiles: ReadonlySet<string> = new Set(
  (
    'postmaster.pid postmaster.opts backup_label backup_label.old tablespace_map tablespace_map.old ' +
    'backup_manifest postgresql.auto.conf.tmp current_logfiles.tmp recovery.signal standby.signal'
  ).split(' '),
)

/** Caches and sort files, in whatever folder they lie. */
const excludedPrefixes: readonly string[] = ['pg_internal.init', 'pgsql_tmp']

/**
 * Whether a physical backup leaves this out, by PostgreSQL's own list (R10). Paths are relative to the data directory. Ask
 * for folders too: what lies below an excluded one is excluded. Temporary and unlogged relations are `isWithoutWal`'s.
 */
export function isExcludedFromBackup(path: string): boolean {
  const parts = path.split('/')
  const [first = ''] = parts
  if (parts.length === 1 && excludedFiles.has(first)) return true
  if (parts.length > 1 && emptiedFolders.has(first)) return !keptFolders.has(path)
  return parts.some((part) => excludedPrefixes.some((prefix) => part.startsWith(prefix)))
}
