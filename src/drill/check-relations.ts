import type { RunContext } from '../domain/run-context.ts'
import { connect, type PostgresSession } from '../postgres/connection.ts'
import type { Conninfo } from '../postgres/conninfo.ts'
import { firstNormalOid } from '../postgres/object-ids.ts'
import { serverWords } from '../postgres/server-error.ts'
import type { DrillCheck, DrillCheckName } from './drill-report.ts'

type RelationCheckName = Extract<DrillCheckName, 'indexes' | 'tables' | 'visibility' | 'rows'>

/** What was looked at by one check, and what is wrong. */
class Tally {
  readonly name: RelationCheckName
  count = 0
  readonly findings: string[] = []
  #more = 0
  unproven: string | undefined

  constructor(name: RelationCheckName) {
    this.name = name
  }

  note(finding: string): void {
    if (this.findings.length < mostFindings) this.findings.push(finding)
    else this.#more += 1
  }

  toCheck(what: string): DrillCheck {
    const { name, findings } = this
    const found = findings.length + this.#more
    if (found > 0)
      return { name, state: 'failed', message: `${found} of ${this.count} ${what} are wrong`, findings }
    if (this.unproven !== undefined) return { name, state: 'not-proven', message: this.unproven, findings }
    if (this.count === 0) return { name, state: 'not-proven', message: `there are no ${what}`, findings }
    return { name, state: 'passed', message: `${this.count} ${what}`, findings }
  }
}

const mostFindings = 20
const schema = 'holdfast_drill'

interface Relation {
  readonly oid: string
  readonly name: string
  readonly kind: 'table' | 'toast' | 'index'
  readonly is_heap: string
  readonly is_btree: string
  /** Whether it came after initdb. */
  readonly is_own: string
}

/** Everything with blocks; what all databases share is looked at in the first one. */
const relationsQuery = `
  select c.oid::pg_catalog.text as oid,
         pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) as name,
         case c.relkind when 'i' then 'index' when 't' then 'toast' else 'table' end as kind,
         a.amname operator(pg_catalog.=) 'heap' as is_heap,
         c.oid operator(pg_catalog.>=) ${firstNormalOid}::pg_catalog.oid as is_own,
         a.amname operator(pg_catalog.=) 'btree' and x.indisvalid and x.indisready as is_btree
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) c.relnamespace
    join pg_catalog.pg_am a on a.oid operator(pg_catalog.=) c.relam
    left join pg_catalog.pg_index x on x.indexrelid operator(pg_catalog.=) c.oid
   where c.relkind operator(pg_catalog.=) any ('{r,t,m,i}') and c.relpersistence operator(pg_catalog.=) 'p'
     and (not c.relisshared or $1::pg_catalog.bool)
   order by c.oid`

/**
 * Reads every table of every database as a dump would, and checks indexes against tables, tables in themselves, and what
 * the visibility map promises. The server must be ours: extensions are made in it.
 */
export async function checkRelations(
  conninfo: Conninfo,
  context: RunContext,
): Promise<readonly DrillCheck[]> {
  const tallies = {
    visibility: new Tally('visibility'),
    rows: new Tally('rows'),
    tables: new Tally('tables'),
    indexes: new Tally('indexes'),
  }
  for (const [index, database] of (await databasesOf(conninfo, context)).entries()) {
    await using session = await connect({ ...conninfo, dbname: database }, context)
    await session.query('set default_transaction_read_only = off')
    const has = await makeExtensions(session, tallies)
    const relations = await session.query<Relation>(relationsQuery, [index === 0 ? 't' : 'f'])
    context.report({
      kind: 'note',
      message: `checking ${relations.length} relations of database ${database}`,
    })
    for (const relation of relations) await checkRelation({ session, has, tallies, database }, relation)
  }
  return [
    tallies.indexes.toCheck('indexes'),
    tallies.tables.toCheck('tables'),
    tallies.visibility.toCheck('visibility maps'),
    tallies.rows.toCheck('tables of yours, read row by row'),
  ]
}

async function databasesOf(conninfo: Conninfo, context: RunContext): Promise<readonly string[]> {
  await using session = await connect(conninfo, context)
  const rows = await session.query<{ name: string }>(
    'select datname as name from pg_catalog.pg_database where datallowconn order by datname',
  )
  return rows.map(({ name }) => name)
}

type Tallies = Readonly<Record<'visibility' | 'rows' | 'tables' | 'indexes', Tally>>
type Extension = 'amcheck' | 'pg_visibility'

/** Those that the server has, each in the schema that it is in now. */
async function makeExtensions(
  session: PostgresSession,
  tallies: Tallies,
): Promise<ReadonlyMap<Extension, string>> {
  const needed: readonly (readonly [Extension, readonly Tally[]])[] = [
    ['amcheck', [tallies.tables, tallies.indexes]],
    ['pg_visibility', [tallies.visibility]],
  ]
  await session.query(`create schema if not exists ${schema}`)
  const made = new Map<Extension, string>()
  for (const [extension, dependents] of needed) {
    try {
      await session.query(`create extension if not exists ${extension} schema ${schema}`)
      const [row] = await session.query<{ place: string }>(
        'select pg_catalog.quote_ident(n.nspname) as place from pg_catalog.pg_extension e join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) e.extnamespace where e.extname operator(pg_catalog.=) $1',
        [extension],
      )
      made.set(extension, row?.place ?? schema)
    } catch (error) {
      if (session.lost.aborted) throw error
      for (const tally of dependents)
        tally.unproven = `the extension ${extension} cannot be made: ${serverWords(error)}`
    }
  }
  return made
}

interface Checking {
  readonly session: PostgresSession
  readonly has: ReadonlyMap<Extension, string>
  readonly tallies: Tallies
  readonly database: string
}

/** The visibility map comes first: reading a table prunes its pages, which can hide what the map promised wrongly. */
async function checkRelation(checking: Checking, relation: Relation): Promise<void> {
  for (const { tally, isCounted, sql } of questionsAbout(relation, checking)) {
    if (isCounted) tally.count += 1
    await expectNothing(checking, tally, { relation, sql })
  }
}

interface Question {
  readonly tally: Tally
  readonly isCounted: boolean
  readonly sql: string
}

/** In the order in which they are to be asked. */
function questionsAbout(relation: Relation, { has, tallies }: Checking): readonly Question[] {
  const { kind, name, oid, is_heap: isHeap, is_btree: isBtree, is_own: isOwn } = relation
  const amcheck = has.get('amcheck')
  const visibility = has.get('pg_visibility')
  const regclass = `${oid}::pg_catalog.oid::pg_catalog.regclass`
  if (kind === 'index') {
    if (isBtree !== 't' || amcheck === undefined) return []
    // The function gives one row of nothing when all is well; counting it makes sure that it runs.
    const sql = `select 'it was not checked' as found from ${amcheck}.bt_index_check(${regclass}, true) having pg_catalog.count(*) operator(pg_catalog.<>) 1`
    return [{ tally: tallies.indexes, isCounted: true, sql }]
  }
  const questions: Question[] = []
  if (isHeap === 't' && visibility !== undefined) {
    const sql = `select t_ctid::pg_catalog.text as found from ${visibility}.pg_check_visible(${regclass})
                 union all select t_ctid::pg_catalog.text from ${visibility}.pg_check_frozen(${regclass}) limit 3`
    questions.push({ tally: tallies.visibility, isCounted: true, sql })
  }
  if (kind === 'table') {
    // COPY converts every value of every row, as a dump would, here to nowhere. A cluster without tables of its user's is
    // not the one that was meant.
    const sql = `copy (select * from ${name}) to '/dev/null'`
    questions.push({ tally: tallies.rows, isCounted: isOwn === 't', sql })
  }
  if (isHeap === 't' && amcheck !== undefined) {
    const sql = `select 'block ' || blkno || ', tuple ' || coalesce(offnum, 0) || ': ' || msg as found
                   from ${amcheck}.verify_heapam(${regclass}, check_toast => true) limit 3`
    questions.push({ tally: tallies.tables, isCounted: true, sql })
  }
  return questions
}

interface Asked {
  readonly relation: Relation
  readonly sql: string
}

/** Runs a statement about one relation, which must give no error and no rows. Rows say in `found` what is wrong. */
async function expectNothing(
  { session, database }: Checking,
  tally: Tally,
  { relation, sql }: Asked,
): Promise<void> {
  try {
    const rows = await session.query<{ found: string }>(sql)
    if (rows.length > 0)
      tally.note(`${database}, ${relation.name}: ${rows.map(({ found }) => found).join('; ')}`)
  } catch (error) {
    if (session.lost.aborted) throw error
    tally.note(`${database}, ${relation.name}: ${serverWords(error)}`)
  }
}
