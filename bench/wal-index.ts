// Makes WAL of many short transactions, as pgbench's, and of a few large ones, and prints what its indexes take: bytes per
// gigabyte of WAL, and CPU milliseconds per 16 MiB. Run: node bench/wal-index.ts
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { packPayload } from '../src/codec/compression.ts'
import { decodeWalIndex, encodeWalIndex } from '../src/archive/wal-index.ts'
import { parseSegmentName, toWalSegmentSize, type WalSegmentSize } from '../src/domain/wal-segment.ts'
import { scanSegment } from '../src/wal/scan-segment.ts'
import { startServer, type TestServer } from '../test/support/postgres-server.ts'
import { createScratch } from '../test/support/scratch.ts'

const segmentSize: WalSegmentSize = toWalSegmentSize(16 * 1024 * 1024)
const indexLevel = 1
const settings = {
  wal_keep_size: '8GB',
  max_wal_size: '4GB',
  checkpoint_timeout: '1h',
  shared_buffers: '256MB',
  synchronous_commit: false,
  fsync: false,
  autovacuum: false,
}

const accounts = 1_000_000
const sessions = 4
const transactionsEach = Number(process.argv[2] ?? 30_000)

const seed = [
  'create table accounts (aid int primary key, bid int, abalance int, filler char(84)) with (fillfactor = 90)',
  'create table tellers (tid int primary key, bid int, tbalance int, filler char(84))',
  'create table branches (bid int primary key, bbalance int, filler char(88))',
  'create table history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22))',
  `insert into accounts select i, i % 10, 0, '' from generate_series(1, ${accounts}) i`,
  `insert into tellers select i, i % 10, 0, '' from generate_series(1, 100) i`,
  `insert into branches select i, 0, '' from generate_series(1, 10) i`,
  `create procedure transact(rounds int) language plpgsql as $$
     declare a int; t int; b int;
     begin
       for n in 1 .. rounds loop
         a := 1 + random() * ${accounts - 1}; t := 1 + random() * 99; b := 1 + random() * 9;
         update accounts set abalance = abalance + n where aid = a;
         update tellers set tbalance = tbalance + n where tid = t;
         update branches set bbalance = bbalance + n where bid = b;
         insert into history values (t, b, a, n, now());
         commit;
       end loop;
     end $$`,
  'checkpoint',
]

await using scratch = await createScratch('wal-index')
console.log(
  ['WAL', 'segments', 'index kB/GB', 'raw kB/GB', 'scan ms', 'encode ms', 'compress ms', 'decode ms'].join(
    '\t',
  ),
)
await measureLoad('bulk', async (server) => {
  for (const statement of seed) await server.query(statement)
  await server.query('create index on accounts (abalance)')
})
await measureLoad('short transactions', async (server) => {
  for (const statement of seed) await server.query(statement)
  await server.query('select pg_switch_wal()')
  const from = await nameOfCurrent(server)
  await Promise.all(
    Array.from({ length: sessions }, () => server.query(`call transact(${transactionsEach})`)),
  )
  return from
})

async function measureLoad(
  what: string,
  load: (server: TestServer) => Promise<string | undefined | void>,
): Promise<void> {
  await using server = await startServer({ major: 18, scratch, settings })
  const first = await load(server)
  await server.query('select pg_switch_wal()')
  const last = await nameOfCurrent(server)
  const folder = join(server.dataDirectory, 'pg_wal')
  const names = readdirSync(folder).filter(
    (name) => /^[0-9A-F]{24}$/.test(name) && name < last && name >= (first ?? ''),
  )
  const segments = names.map((name) => ({ name, bytes: readFileSync(join(folder, name)) }))
  // The first ones warm the code up.
  for (const segment of segments.slice(0, 3)) measure(segment)
  console.log([what, segments.length, ...cells(segments.map(measure))].join('\t'))
}

async function nameOfCurrent(server: TestServer): Promise<string> {
  const [row] = await server.query<{ name: string }>(
    'select pg_walfile_name(pg_current_wal_insert_lsn()) as name',
  )
  return row?.name ?? ''
}

interface Measured {
  readonly packedBytes: number
  readonly rawBytes: number
  readonly milliseconds: readonly number[]
}

function measure({ name, bytes }: { readonly name: string; readonly bytes: Buffer }): Measured {
  const { startLsn } = parseSegmentName(name, segmentSize)
  const milliseconds: number[] = []
  const timed = <Result>(work: () => Result): Result => {
    const before = process.cpuUsage()
    const result = work()
    const { user, system } = process.cpuUsage(before)
    milliseconds.push((user + system) / 1000)
    return result
  }
  const contents = timed(() => scanSegment(bytes, { startLsn }))
  const raw = timed(() => encodeWalIndex(contents)) ?? Buffer.alloc(0)
  const packed = timed(() => packPayload(raw, indexLevel))
  timed(() => decodeWalIndex(raw, name))
  return {
    packedBytes: packed.reduce((sum, { length }) => sum + length, 0),
    rawBytes: raw.length,
    milliseconds,
  }
}

function cells(measured: readonly Measured[]): readonly string[] {
  const mean = (value: (each: Measured) => number): number =>
    measured.reduce((sum, each) => sum + value(each), 0) / measured.length
  return [
    kilobytes(mean(({ packedBytes }) => packedBytes)),
    kilobytes(mean(({ rawBytes }) => rawBytes)),
    ...[0, 1, 2, 3].map((index) => mean(({ milliseconds }) => milliseconds[index] ?? 0).toFixed(1)),
  ]
}

/** Per gigabyte of WAL. */
function kilobytes(bytes: number): string {
  return ((bytes / segmentSize) * 1e6).toFixed(0)
}
