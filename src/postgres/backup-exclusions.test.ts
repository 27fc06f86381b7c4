import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { isExcludedFromBackup } from './backup-exclusions.ts'

const excluded = [
  'pg_wal/000000010000000000000001',
  'pg_wal/archive_status/000000010000000000000001.ready',
  'pg_wal/summaries/0000000100000000010000280000000001000148.summary',
  'pg_replslot/slot',
  'pg_replslot/slot/state',
  'pg_stat_tmp/global.stat',
  'pg_dynshmem/mmap.1',
  'pg_notify/0000',
  'pg_serial/0000',
  'pg_snapshots/1',
  'pg_subtrans/0000',
  'postmaster.pid',
  'postmaster.opts',
  'backup_label',
  'backup_label.old',
  'tablespace_map',
  'tablespace_map.old',
  'backup_manifest',
  'recovery.signal',
  'standby.signal',
  'postgresql.auto.conf.tmp',
  'current_logfiles.tmp',
  'global/pg_internal.init',
  'base/5/pg_internal.init.1234',
  'base/pgsql_tmp',
  'base/pgsql_tmp/pgsql_tmp1.0',
  'pg_tblspc/16384/PG_15_202209061/pgsql_tmp/pgsql_tmp1.0.sharedfileset',
]

const included = [
  'pg_wal',
  'pg_wal/archive_status',
  'pg_wal/summaries',
  'pg_replslot',
  'pg_xact/0000',
  'pg_multixact/members/0000',
  'pg_commit_ts/0000',
  'pg_twophase/0000000000000001',
  'pg_logical/mappings/map-1',
  'pg_stat/pgstat.stat',
  'pg_tblspc/16384',
  'postgresql.conf',
  'postgresql.auto.conf',
  'PG_VERSION',
  'global/pg_control',
  'base/5/1259',
  'my_folder/postmaster.pid',
]

describe('isExcludedFromBackup', () => {
  for (const path of excluded) {
    test(`leaves out ${path} (R10)`, () => {
      assert.equal(isExcludedFromBackup(path), true)
    })
  }
  for (const path of included) {
    test(`takes ${path} (R10)`, () => {
      assert.equal(isExcludedFromBackup(path), false)
    })
  }
})
