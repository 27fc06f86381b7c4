import type { RunContext } from '../domain/run-context.ts'
import { connect, type PostgresSession } from '../postgres/connection.ts'
import type { Conninfo } from '../postgres/conninfo.ts'
import { firstNormalOid } from '../postgres/object-ids.ts'
import { serverWords } from '../postgres/server-error.ts'
import { loadBackedUpTables, type BackedUpTables } from './backed-up-tables.ts'
import type { DrillCheck, DrillCheckName } from './drill-report.ts'
import { addMissing, inThousands, LossTally, type Suspect, type WalTestimony } from './loss-tally.ts'

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
  /** Of a table whose files are those that the backup had: where they are, and about how many rows it had. */
  readonly tablespace: string | null
  readonly file: string | null
  readonly estimate: string | null
}

interface Database {
  readonly oid: number
  readonly name: string
}

/** Everything with blocks; what all databases share is looked at in the first one. */
const relationsQuery = (withShared: boolean): string => `
  select c.oid::pg_catalog.text as oid,
         pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) as name,
         case c.relkind when 'i' then 'index' when 't' then 'toast' else 'table' end as kind,
         a.amname operator(pg_catalog.=) 'heap' as is_heap,
         c.oid operator(pg_catalog.>=) ${firstNormalOid}::pg_catalog.oid as is_own,
         a.amname operator(pg_catalog.=) 'btree' and x.indisvalid and x.indisready as is_btree,
         l.tablespace::pg_catalog.text as tablespace, l.file::pg_catalog.text as file,
         l.rows::pg_catalog.text as estimate
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) c.relnamespace
    join pg_catalog.pg_am a on a.oid operator(pg_catalog.=) c.relam
    left join pg_catalog.pg_index x on x.indexrelid operator(pg_catalog.=) c.oid
    left join pg_temp.holdfast_listed l
      on l.oid operator(pg_catalog.=) c.oid and l.file operator(pg_catalog.=) pg_catalog.pg_relation_filenode(c.oid)
   where c.relkind operator(pg_catalog.=) any ('{r,t,m,i}') and c.relpersistence operator(pg_catalog.=) 'p'
     and (not c.relisshared or ${String(withShared)})
   order by c.oid`

/** What is to be looked at, and what it is held against. */
interface RelationsRequest {
  /** The server must be ours: extensions are made in it. */
  readonly conninfo: Conninfo
  readonly backedUp: BackedUpTables
  /** Asks what the WAL tells of relations that may have lost something. */
  readonly askWal: (suspects: readonly Suspect[]) => Promise<WalTestimony>
}

/**
 * Reads every table of every database as a dump would, checks indexes against tables, tables in themselves, and what the
 * visibility map promises, and holds all of it against what the backup says.
 */
export async function checkRelations(
  { conninfo, backedUp, askWal }: RelationsRequest,
  context: RunContext,
): Promise<readonly DrillCheck[]> {
  const tallies = {
    visibility: new Tally('visibility'),
    rows: new Tally('rows'),
    tables: new Tally('tables'),
    indexes: new Tally('indexes'),
    losses: new LossTally({ hasNames: backedUp.names !== undefined }),
  }
  for (const [index, database] of (await databasesOf(conninfo, context)).entries()) {
    await using session = await connect({ ...conninfo, dbname: database.name }, context)
    await session.query('set default_transaction_read_only = off')
    const has = await makeExtensions(session, tallies)
    await loadBackedUpTables(session, database.oid, backedUp)
    context.report({ kind: 'note', message: `checking the relations of database ${database.name}` })
    const checking = { session, has, tallies, database }
    for await (const relation of relationsOf(session, index === 0)) await checkRelation(checking, relation)
    await addMissing(tallies.losses, session, database)
  }
  const { losses } = tallies
  const testimony = losses.suspects.length === 0 ? nothingAsked : await askWal(losses.suspects)
  return [
    tallies.indexes.toCheck('indexes'),
    tallies.tables.toCheck('tables'),
    tallies.visibility.toCheck('visibility maps'),
    refuseEmptiness(tallies.rows.toCheck('tables of yours, read row by row'), losses),
    losses.toCheck(testimony),
  ]
}

const nothingAsked: WalTestimony = { explained: new Set(), holes: [] }

/** A cluster in which nothing is, is not the one that was meant. */
function refuseEmptiness(check: DrillCheck, { rowCount }: LossTally): DrillCheck {
  if (check.state !== 'passed' || rowCount > 0) return check
  return { ...check, state: 'not-proven', message: `${check.message}: there is no row in them` }
}

const relationsAtATime = 1000

/** Out of a cursor that outlives its transaction: a statement that fails on the way ends nothing but itself. */
async function* relationsOf(
  session: PostgresSession,
  withShared: boolean,
): AsyncGenerator<Relation, void, undefined> {
  await session.query(
    `declare holdfast_relations no scroll cursor with hold for ${relationsQuery(withShared)}`,
  )
  for (;;) {
    const relations = await session.query<Relation>(`fetch ${relationsAtATime} from holdfast_relations`)
    yield* relations
    if (relations.length < relationsAtATime) return
  }
}

async function databasesOf(conninfo: Conninfo, context: RunContext): Promise<readonly Database[]> {
  await using session = await connect(conninfo, context)
  const rows = await session.query<{ oid: string; name: string }>(
    'select oid::pg_catalog.text as oid, datname as name from pg_catalog.pg_database where datallowconn order by datname',
  )
  return rows.map(({ oid, name }) => ({ oid: Number(oid), name }))
}

type Tallies = Readonly<Record<'visibility' | 'rows' | 'tables' | 'indexes', Tally>> & {
  readonly losses: LossTally
}
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
  readonly database: Database
}

/** The visibility map comes first: reading a table prunes its pages, which can hide what the map promised wrongly. */
async function checkRelation(checking: Checking, relation: Relation): Promise<void> {
  for (const { tally, isCounted, sql } of questionsAbout(relation, checking)) {
    if (isCounted) tally.count += 1
    await expectNothing(checking, tally, { relation, sql })
  }
  if (relation.kind === 'table') await readRows(checking, relation)
}

/**
 * COPY converts every value of every row, as a dump would, here to nowhere, and says how many there were. A cluster without
 * tables of its user's is not the one that was meant.
 */
async function readRows({ session, tallies, database }: Checking, relation: Relation): Promise<void> {
  const { name, tablespace, file, is_own: isOwn } = relation
  const estimate = relation.estimate === null ? undefined : Number(relation.estimate)
  if (isOwn === 't') tallies.rows.count += 1
  try {
    const rows = await session.count(`copy (select * from ${name}) to '/dev/null'`)
    if (isOwn === 't') tallies.losses.addTable({ rows, estimate })
    if (rows > 0 || estimate === undefined || estimate === 0) return
    tallies.losses.suspect({
      kind: 'emptied',
      tablespace: Number(tablespace),
      database: database.oid,
      relation: Number(file),
      rows: estimate,
      finding: `${database.name}, ${name}: had about ${inThousands(estimate)} rows, has none`,
    })
  } catch (error) {
    if (session.lost.aborted) throw error
    tallies.rows.note(`${database.name}, ${name}: ${serverWords(error)}`)
  }
}

interface Question {
  readonly tally: Tally
  readonly isCounted: boolean
  readonly sql: string
}

/** In the order in which they are to be asked. */
function questionsAbout(relation: Relation, { has, tallies }: Checking): readonly Question[] {
  const { kind, oid, is_heap: isHeap, is_btree: isBtree } = relation
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
      tally.note(`${database.name}, ${relation.name}: ${rows.map(({ found }) => found).join('; ')}`)
  } catch (error) {
    if (session.lost.aborted) throw error
    tally.note(`${database.name}, ${relation.name}: ${serverWords(error)}`)
  }
}
