import { setTimeout as sleep } from 'node:timers/promises'
import { collect } from './findings.ts'
import type { Findings } from './findings.ts'
import type { Session } from './server-session.ts'

interface Scope {
  readonly database: string
  /** Whether the relations that all databases share are checked here. */
  readonly sharedToo: boolean
}

interface Relation {
  readonly oid: number
  readonly name: string
  readonly kind: 'table' | 'toast' | 'index' | 'sequence'
  /** The method of an index: btree, hash, ... */
  readonly method: string | null
  readonly isUsable: boolean
  readonly forks: readonly string[]
  /** Whether an index covers every row, so that counting by index alone is possible. */
  readonly isCountable: boolean
  readonly isHeap: boolean
}

const extensions = ['amcheck', 'pg_visibility', 'pg_prewarm']
const checkSchema = 'holdfast_full_check'

/** Everything that has blocks, temporary tables excepted: those of other sessions cannot be read. */
const relationsQuery = `
  select c.oid,
         c.oid::regclass::text as name,
         case when c.relkind = 't' then 'toast' when c.relkind = 'i' then 'index'
              when c.relkind = 'S' then 'sequence' else 'table' end as kind,
         case when c.relkind = 'i' then a.amname end as method,
         coalesce(x.indisvalid and x.indisready, true) as "isUsable",
         array(select f from unnest(array['main', 'fsm', 'vm', 'init']) f
               where pg_relation_size(c.oid, f) > 0) as forks,
         c.relkind in ('r', 'm') and exists (
           select from pg_index i join pg_class ic on ic.oid = i.indexrelid join pg_am ia on ia.oid = ic.relam
           where i.indrelid = c.oid and ia.amname = 'btree' and i.indisvalid
             and i.indpred is null and i.indexprs is null) as "isCountable",
         coalesce(a.amname = 'heap', false) and c.relkind <> 'S' as "isHeap"
  from pg_class c
  left join pg_am a on a.oid = c.relam
  left join pg_index x on x.indexrelid = c.oid
  where c.relkind in ('r', 't', 'm', 'i', 'S') and c.relpersistence <> 't' and (not c.relisshared or $1)
  order by c.oid`

/** Reads and checks every relation of one database. */
export async function checkRelations(session: Session, scope: Scope, findings: Findings): Promise<void> {
  // All objects of the check live in one schema that goes away again. If the server dies under the check, they stay
  // until the next one.
  await session.query(`drop schema if exists ${checkSchema} cascade; create schema ${checkSchema}`)
  const places = await installExtensions(session)
  const { rows: relations } = await session.query<Relation>(relationsQuery, [scope.sharedToo])
  await session.query('set ignore_checksum_failure = off; set zero_damaged_pages = off')
  for (const relation of relations) await checkRelation({ session, places, findings, scope }, relation)
  await session.query(`drop schema ${checkSchema} cascade`)
}

/** Schema of each extension: ours, or where the database had it before. */
async function installExtensions(session: Session): Promise<ReadonlyMap<string, string>> {
  for (const extension of extensions) {
    await session.query(`create extension if not exists ${extension} schema ${checkSchema}`)
  }
  const { rows } = await session.query<{ name: string; schema: string }>(
    'select extname as name, extnamespace::regnamespace::text as schema from pg_extension',
  )
  return new Map(rows.map(({ name, schema }) => [name, schema]))
}

interface Checking {
  readonly session: Session
  readonly places: ReadonlyMap<string, string>
  readonly findings: Findings
  readonly scope: Scope
}

/** The visibility map comes first: reading a table prunes its pages, which can hide what the map promised wrongly. */
async function checkRelation(checking: Checking, relation: Relation): Promise<void> {
  switch (relation.kind) {
    case 'table':
    case 'toast':
      checking.findings.counts.tables += 1
      if (relation.isHeap) await checkVisibility(checking, relation)
      if (relation.isCountable) await compareCounts(checking, relation)
      await readBlocks(checking, relation)
      if (relation.isHeap) await verifyHeap(checking, relation)
      await dump(checking, relation)
      break
    case 'index':
      checking.findings.counts.indexes += 1
      await readBlocks(checking, relation)
      if (relation.method === 'btree' && relation.isUsable) await checkBtree(checking, relation)
      break
    case 'sequence':
      await readBlocks(checking, relation)
      break
  }
}

/** Before 17 the functions may report tuples wrongly while other sessions work: what is really wrong stays wrong. */
async function checkVisibility(
  { session, places, findings, scope }: Checking,
  relation: Relation,
): Promise<void> {
  for (const name of ['pg_check_visible', 'pg_check_frozen']) {
    const count = async (): Promise<number> => {
      const sql = `select count(*)::int as wrong from ${places.get('pg_visibility')}.${name}($1::oid::regclass)`
      const { rows } = await session.query<{ wrong: number }>(sql, [relation.oid])
      return rows[0]?.wrong ?? 0
    }
    await collect(findings, `${scope.database}: ${name} of ${relation.name}`, async () => {
      if ((await count()) === 0) return undefined
      await sleep(300)
      const wrong = await count()
      return wrong === 0 ? undefined : `the visibility map promises too much for ${wrong} tuples`
    })
  }
}

/** Both counts in one snapshot. The index-only scan trusts the visibility map and the index, the other neither. */
async function compareCounts({ session, findings, scope }: Checking, { name }: Relation): Promise<void> {
  await collect(findings, `${scope.database}: counts of ${name}`, async () => {
    await session.query('begin isolation level repeatable read')
    try {
      const byTable = await countBy(session, name, 'table')
      const byIndex = await countBy(session, name, 'index')
      return byTable === byIndex ? undefined : `${byTable} rows by the table, ${byIndex} by an index`
    } finally {
      await session.query('rollback')
    }
  })
}

async function countBy(session: Session, name: string, way: 'table' | 'index'): Promise<string | undefined> {
  const isByTable = way === 'table' ? 'on' : 'off'
  const isByIndex = way === 'table' ? 'off' : 'on'
  await session.query(
    `set local enable_seqscan = ${isByTable}; set local enable_bitmapscan = off;
     set local enable_indexscan = ${isByIndex}; set local enable_indexonlyscan = ${isByIndex};
     set local max_parallel_workers_per_gather = 0`,
  )
  const { rows } = await session.query<{ count: string }>(`select count(*) from ${name}`)
  return rows[0]?.count
}

/** Through the buffer cache, so that the server verifies each block as it would for any query. */
async function readBlocks({ session, places, findings, scope }: Checking, relation: Relation): Promise<void> {
  for (const fork of relation.forks) {
    await collect(findings, `${scope.database}: blocks of ${relation.name} (${fork})`, async () => {
      const { rows } = await session.query<{ blocks: string }>(
        `select ${places.get('pg_prewarm')}.pg_prewarm($1::oid::regclass, 'buffer', $2) as blocks`,
        [relation.oid, fork],
      )
      findings.counts.blocks += Number(rows[0]?.blocks)
      return undefined
    })
  }
}

async function verifyHeap({ session, places, findings, scope }: Checking, relation: Relation): Promise<void> {
  await collect(findings, `${scope.database}: verify_heapam of ${relation.name}`, async () => {
    const { rows } = await session.query<{ blkno: string; offnum: number; msg: string }>(
      `select * from ${places.get('amcheck')}.verify_heapam($1::oid::regclass, check_toast => true) limit 3`,
      [relation.oid],
    )
    if (rows.length === 0) return undefined
    return rows.map(({ blkno, offnum, msg }) => `block ${blkno}, tuple ${offnum}: ${msg}`).join('; ')
  })
}

/** `COPY` sends and converts every value of every row, as pg_dump would, here to nowhere. A TOAST table is only counted. */
async function dump({ session, findings, scope }: Checking, relation: Relation): Promise<void> {
  await collect(findings, `${scope.database}: dump of ${relation.name}`, async () => {
    if (relation.kind === 'toast') {
      await session.query(`select count(*), sum(length(chunk_data)) from ${relation.name}`)
      return undefined
    }
    const { rowCount } = await session.query(`copy (select * from ${relation.name}) to stdout`)
    findings.counts.rows += rowCount ?? 0
    return undefined
  })
}

async function checkBtree({ session, places, findings, scope }: Checking, relation: Relation): Promise<void> {
  await collect(findings, `${scope.database}: bt_index_check of ${relation.name}`, async () => {
    await session.query(
      `select ${places.get('amcheck')}.bt_index_check($1::oid::regclass, heapallindexed => true)`,
      [relation.oid],
    )
    return undefined
  })
}
