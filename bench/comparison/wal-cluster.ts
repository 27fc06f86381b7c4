import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { cp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { giveTree } from '../../test/support/give-tree.ts'
import { initializeCluster } from '../../test/support/initialize-cluster.ts'
import { openServer, type TestServer } from '../../test/support/postgres-server.ts'
import { serverBinaries } from '../../test/support/server-binaries.ts'
import { benchMajor } from './big-cluster.ts'
import type { BenchFolder } from './bench-folder.ts'

/** A small cluster, as it was before some work was done on it, and after: with all the WAL of that work still in pg_wal. */
export interface WalCluster {
  readonly before: string
  readonly after: string
  /** All full, in order. */
  readonly segments: readonly string[]
  /** Where the work ends. */
  readonly endLsn: string
}

const walSegmentCount = 64

/** Changes with the content: a cluster that was built by another version is built anew. */
const contentVersion = 1

const settings = {
  wal_level: 'replica',
  archive_mode: 'on',
  archive_command: '',
  wal_keep_size: '8GB',
  max_wal_size: '256MB',
  checkpoint_timeout: '1h',
  shared_buffers: '256MB',
  autovacuum: false,
}

const seed = [
  `create table items (id int primary key, owner int not null, amount int not null, note text not null)`,
  `insert into items select i, i % 1000, i % 977, md5(i::text) || md5('n' || i) from generate_series(1, 600000) i`,
  'create index on items (owner)',
  'create table events (id bigint generated always as identity primary key, item int not null, body jsonb not null)',
]

/** About a segment of WAL: updates all over the table, as full pages after each checkpoint, and new rows. */
const work = (round: number): string => `
  update items set amount = amount + ${round}, note = md5(note) || md5('${round}' || id) where id % 97 = ${(round * 7) % 97};
  insert into events (item, body) select i, jsonb_build_object('round', ${round}, 'item', i, 'token', md5('${round}-' || i),
    'kind', 'change', 'by', 'user' || i % 1000) from generate_series(1, 20000) i`

export async function walCluster(folder: BenchFolder): Promise<WalCluster> {
  const home = join(folder.path, 'wal')
  const complete = join(home, `complete-${contentVersion}`)
  if (!existsSync(complete)) await build(folder, complete)
  const [endLsn = '', ...segments] = (await readFile(complete, 'utf8')).split('\n')
  return { before: join(home, 'before'), after: join(home, 'after'), segments, endLsn }
}

async function build(folder: BenchFolder, complete: string): Promise<void> {
  await rm(join(folder.path, 'wal'), { recursive: true, force: true })
  await folder.makeFolder('wal')
  const dataDirectory = await folder.makeFolder('wal/after')
  const binDirectory = await serverBinaries(benchMajor)
  await initializeCluster({ dataDirectory, binDirectory, major: benchMajor, user: folder.user }, {}, {})
  const open = (): Promise<TestServer> =>
    openServer({ dataDirectory, major: benchMajor, scratch: folder.scratch, settings })
  {
    await using server = await open()
    for (const statement of seed) await server.query(statement)
    await server.stop()
  }
  const before = await folder.makeFolder('wal/before')
  await cp(dataDirectory, before, { recursive: true, preserveTimestamps: true })
  await forgetWal(before, () => true)
  await giveTree(before, folder.user)
  await using server = await open()
  const { first, last, endLsn } = await doWork(server)
  await server.stop()
  await forgetWal(dataDirectory, (name) => name < first)
  const left = await readdir(join(dataDirectory, 'pg_wal'))
  const segments = left.filter((name) => isSegment(name) && name <= last).toSorted()
  await writeFile(complete, [endLsn, ...segments].join('\n'))
}

/** Fills segments, from the one that it begins in. */
async function doWork(server: TestServer): Promise<{ first: string; last: string; endLsn: string }> {
  await using session = await server.session()
  const position = async (): Promise<{ file: string; number: number; lsn: string }> => {
    const { rows } = await session.query<{ file: string; number: string; lsn: string }>(
      `select pg_walfile_name(lsn) as file, lsn, trunc((lsn - '0/0') / 16777216) as number
       from pg_current_wal_insert_lsn() as lsn`,
    )
    const [row] = rows
    assert.ok(row !== undefined)
    return { ...row, number: Number(row.number) }
  }
  const start = await position()
  let end = start
  for (let round = 0; end.number < start.number + walSegmentCount - 1; round += 1) {
    await session.query(work(round))
    if (round % 20 === 19) await session.query('checkpoint')
    end = await position()
  }
  await session.query('select pg_switch_wal()')
  return { first: start.file, last: end.file, endLsn: end.lsn }
}

async function forgetWal(dataDirectory: string, isForgotten: (segment: string) => boolean): Promise<void> {
  for (const folder of [join(dataDirectory, 'pg_wal'), join(dataDirectory, 'pg_wal', 'archive_status')]) {
    const names = await readdir(folder)
    const gone = names.filter((name) => isSegment(name.slice(0, 24)) && isForgotten(name.slice(0, 24)))
    for (const name of gone) await rm(join(folder, name))
  }
}

function isSegment(name: string): boolean {
  return /^[0-9A-F]{24}$/.test(name)
}
