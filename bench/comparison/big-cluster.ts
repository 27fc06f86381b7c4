import { existsSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { initializeCluster } from '../../test/support/initialize-cluster.ts'
import { openServer, type TestServer } from '../../test/support/postgres-server.ts'
import { serverBinaries } from '../../test/support/server-binaries.ts'
import { bigTables, smallTables, smallTableCount, smallTablesPerTransaction } from './big-cluster-tables.ts'
import type { BenchFolder } from './bench-folder.ts'

/** Of both clusters: the newest that Debian's stable pgBackRest (2.45) knows. */
export const benchMajor = 15

/** Changes with the content: a cluster that was built by another version is built anew. */
const contentVersion = 1

/** While it is built nothing needs to survive, and WAL would only be thrown away. */
const buildSettings = {
  wal_level: 'minimal',
  max_wal_senders: 0,
  checkpoint_timeout: '1h',
  shared_buffers: '1GB',
  maintenance_work_mem: '512MB',
  autovacuum: false,
}

/** The data directory of a cluster of about 4.4 GB and 10,000 files, always with the same rows; built when it is not there. */
export async function bigCluster(folder: BenchFolder): Promise<string> {
  const dataDirectory = join(folder.path, 'big', 'data')
  const complete = join(folder.path, 'big', `complete-${contentVersion}`)
  if (existsSync(complete)) return dataDirectory
  await rm(join(folder.path, 'big'), { recursive: true, force: true })
  await folder.makeFolder('big')
  await folder.makeFolder('big/data')
  const binDirectory = await serverBinaries(benchMajor)
  await initializeCluster({ dataDirectory, binDirectory, major: benchMajor, user: folder.user }, {}, {})
  {
    await using server = await openServer({
      dataDirectory,
      major: benchMajor,
      scratch: folder.scratch,
      settings: buildSettings,
    })
    await Promise.all([buildBigTables(server), buildSmallTables(server)])
    await server.query('vacuum (freeze, analyze)')
    // What WAL there is goes with the next checkpoints.
    await server.restart({ max_wal_size: '256MB' })
    await server.query('checkpoint')
    await server.stop()
  }
  await writeFile(complete, '')
  return dataDirectory
}

async function buildBigTables(server: TestServer): Promise<void> {
  for (const statements of bigTables) {
    await using session = await server.session()
    // In one transaction with its creation a table needs no WAL.
    await session.query(`begin; ${statements.join('; ')}; commit`)
  }
}

async function buildSmallTables(server: TestServer): Promise<void> {
  await using session = await server.session()
  for (let first = 1; first <= smallTableCount; first += smallTablesPerTransaction) {
    await session.query(smallTables(first))
  }
}
