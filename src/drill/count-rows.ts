import type { RunContext } from '../domain/run-context.ts'
import { connect, type PostgresSession } from '../postgres/connection.ts'
import type { Conninfo } from '../postgres/conninfo.ts'
import { firstNormalOid } from '../postgres/object-ids.ts'
import { quoteIdentifier } from '../postgres/quote-sql.ts'

export interface CountedRows {
  /** Tables, partitioned ones too. Those that an extension made are not counted. */
  readonly tables: number
  /** Of all tables and materialized views. */
  readonly rows: number
}

interface Relation {
  readonly schema: string
  readonly name: string
  readonly kind: string
}

const relationsQuery = `
  select n.nspname as schema, c.relname as name, c.relkind as kind
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) c.relnamespace
   where c.oid operator(pg_catalog.>=) ${firstNormalOid}::pg_catalog.oid
     and c.relkind in ('r', 'p', 'm')
     and not exists (
       select from pg_catalog.pg_depend d
        where d.classid operator(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
          and d.objid operator(pg_catalog.=) c.oid and d.deptype operator(pg_catalog.=) 'e')
   order by 1, 2`

/** Counts the tables of a database, and every row in them one by one. */
export async function countRows(conninfo: Conninfo, context: RunContext): Promise<CountedRows> {
  await using session = await connect(conninfo, context)
  const relations = await session.query<Relation & Record<string, string>>(relationsQuery)
  let rows = 0
  for (const relation of relations.filter(({ kind }) => kind !== 'p')) {
    context.signal.throwIfAborted()
    rows += await countIn(relation, session)
  }
  return { tables: relations.filter(({ kind }) => kind !== 'm').length, rows }
}

async function countIn({ schema, name }: Relation, session: PostgresSession): Promise<number> {
  const [row] = await session.query<{ count: string }>(
    `select pg_catalog.count(*) as count from only ${quoteIdentifier(schema)}.${quoteIdentifier(name)}`,
  )
  return Number(row?.count ?? Number.NaN)
}
