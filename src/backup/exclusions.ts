/**
 * What a backup leaves out, as PostgreSQL's own base backup does (backend/backup/basebackup.c, R10). Paths are relative to
 * the data directory, as Latin-1 text of their bytes.
 */

/** Directories that are kept while their content is not: the server makes it anew. */
const emptiedDirectories = new Set([
  'pg_wal',
  'pg_wal/archive_status',
  'pg_wal/summaries',
  'pg_replslot',
  'pg_stat_tmp',
  'pg_dynshmem',
  'pg_notify',
  'pg_serial',
  'pg_snapshots',
  'pg_subtrans',
])

/** Files of the running server, or of a backup or recovery that is none of the restored cluster's. */
const excludedFiles = new Set([
  'postmaster.pid',
  'postmaster.opts',
  'backup_label',
  'backup_label.old',
  'tablespace_map',
  'tablespace_map.old',
  'backup_manifest',
  'postgresql.auto.conf.tmp',
  'current_logfiles.tmp',
  'recovery.signal',
  'standby.signal',
])

const excludedAnywhere = /^(?:pg_internal\.init|pgsql_tmp)/

/** True for a directory that is kept empty but for the directories that `isExcluded` leaves in it. */
export function isEmptied(path: string): boolean {
  return emptiedDirectories.has(path)
}

/** True for what does not go into a backup by its name alone. Temporary and unlogged relations are another matter. */
export function isExcluded(path: string): boolean {
  if (excludedFiles.has(path) || excludedAnywhere.test(path.slice(path.lastIndexOf('/') + 1))) return true
  const parent = path.slice(0, Math.max(0, path.lastIndexOf('/')))
  return emptiedDirectories.has(parent) && !emptiedDirectories.has(path)
}
