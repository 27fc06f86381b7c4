import { OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'
import type { PostgresSession } from '../postgres/connection.ts'
import { quoteIdentifier } from '../postgres/quote-sql.ts'

/** A table in the catalogs of one database. */
export interface FoundTable {
  readonly oid: string
  readonly schema: string
  readonly name: string
  /** pg_class.relkind. */
  readonly kind: string
}

export interface TableColumn {
  readonly name: string
  readonly type: string
  readonly collation: string | null
  readonly isNotNull: boolean
  /** Its default, or the expression that it is generated from. */
  readonly expression: string | null
  /** pg_attribute.attidentity and attgenerated: a letter, or nothing. */
  readonly identity: string
  readonly generated: string
  readonly comment: string | null
  /** Of the sequence that it owns, quoted; null when there is none. */
  readonly sequence: string | null
}

export interface OwnedSequence {
  readonly type: string
  readonly start: string
  readonly increment: string
  readonly min: string
  readonly max: string
  readonly cache: string
  readonly isCycling: boolean
  readonly lastValue: string
  readonly isCalled: boolean
}

export interface TableDefinition extends FoundTable {
  /** Schema and name, as the server prints them in definitions. */
  readonly printedName: string
  readonly comment: string | null
  readonly columns: readonly TableColumn[]
  /** By the quoted name of the sequence. */
  readonly sequences: ReadonlyMap<string, OwnedSequence>
  /** Primary keys and unique ones first, then checks, then foreign keys. */
  readonly constraints: readonly {
    readonly name: string
    readonly kind: string
    readonly definition: string
  }[]
  /** Of those that belong to no constraint: CREATE INDEX, with the table's name as it was. */
  readonly indexes: readonly string[]
}

/** Finds the one table that is meant: NAME or SCHEMA.NAME. Throws `not-found`, and `usage` when there are several. */
export async function findTable(session: PostgresSession, wanted: string): Promise<FoundTable> {
  const found = await session.query<{ oid: string; schema: string; name: string; kind: string }>(
    `select c.oid::pg_catalog.text as oid, n.nspname as schema, c.relname as name, c.relkind::pg_catalog.text as kind
       from pg_catalog.pg_class c
       join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) c.relnamespace
      where c.relkind operator(pg_catalog.=) any ('{r,p,m}')
        and n.nspname operator(pg_catalog.!~) '^pg_'
        and $1 operator(pg_catalog.=) any (array[c.relname::pg_catalog.text, n.nspname || '.' || c.relname])
      order by n.nspname`,
    [wanted],
    { doing: `looking for table ${quote(wanted)}` },
  )
  const [table, ...others] = found
  if (table === undefined) {
    throw new OperationError(
      'not-found',
      `looking for table ${quote(wanted)}: there was none at that moment`,
      {
        hint: 'Check its name and its database, with "holdfast find", or choose another moment.',
      },
    )
  }
  if (others.length > 0) {
    const names = found.map(({ schema, name }) => quote(`${schema}.${name}`)).join(', ')
    throw new OperationError('usage', `looking for table ${quote(wanted)}: expected one, found ${names}`, {
      hint: 'Name its schema too.',
    })
  }
  return table
}

/** Everything that is needed to make the table again, but for its rows, owner, privileges, triggers and policies. */
export async function readDefinition(session: PostgresSession, table: FoundTable): Promise<TableDefinition> {
  const columns = await readColumns(session, table)
  const sequences = new Map<string, OwnedSequence>()
  for (const { sequence } of columns) {
    if (sequence !== null) sequences.set(sequence, await readSequence(session, sequence))
  }
  const [described] = await session.query<{ comment: string | null; printed: string }>(
    `select pg_catalog.obj_description($1::pg_catalog.oid, 'pg_class') as comment,
            pg_catalog.quote_ident($2) || '.' || pg_catalog.quote_ident($3) as printed`,
    [table.oid, table.schema, table.name],
  )
  const constraints = await session.query<{ name: string; kind: string; definition: string }>(
    `select conname as name, contype::pg_catalog.text as kind, pg_catalog.pg_get_constraintdef(oid) as definition
       from pg_catalog.pg_constraint
      where conrelid operator(pg_catalog.=) $1::pg_catalog.oid and contype operator(pg_catalog.=) any ('{p,u,x,c,f}')
      order by pg_catalog.array_position('{p,u,x,c,f}'::pg_catalog."char"[], contype), conname`,
    [table.oid],
  )
  const indexes = await session.query<{ definition: string }>(
    `select pg_catalog.pg_get_indexdef(i.indexrelid) as definition
       from pg_catalog.pg_index i
      where i.indrelid operator(pg_catalog.=) $1::pg_catalog.oid and i.indisvalid
        and not exists (select from pg_catalog.pg_constraint c where c.conindid operator(pg_catalog.=) i.indexrelid
                                                                 and c.conrelid operator(pg_catalog.=) i.indrelid)
      order by i.indexrelid`,
    [table.oid],
  )
  return {
    ...table,
    printedName: described?.printed ?? qualified(table),
    comment: described?.comment ?? null,
    columns,
    sequences,
    constraints,
    indexes: indexes.map(({ definition }) => definition),
  }
}

interface ColumnRow extends Omit<TableColumn, 'isNotNull'> {
  readonly not_null: string
}

const columnOf = ({ not_null, ...column }: ColumnRow): TableColumn => ({
  ...column,
  isNotNull: not_null === 't',
})

async function readColumns(session: PostgresSession, table: FoundTable): Promise<readonly TableColumn[]> {
  const rows = await session.query<ColumnRow>(
    `select a.attname as name, pg_catalog.format_type(a.atttypid, a.atttypmod) as type,
            case when a.attcollation operator(pg_catalog.<>) t.typcollation
                 then pg_catalog.quote_ident(cn.nspname) || '.' || pg_catalog.quote_ident(co.collname) end as collation,
            a.attnotnull as not_null, pg_catalog.pg_get_expr(d.adbin, d.adrelid) as expression,
            a.attidentity::pg_catalog.text as identity, a.attgenerated::pg_catalog.text as generated,
            pg_catalog.col_description(a.attrelid, a.attnum) as comment,
            pg_catalog.pg_get_serial_sequence($2, a.attname) as sequence
       from pg_catalog.pg_attribute a
       join pg_catalog.pg_type t on t.oid operator(pg_catalog.=) a.atttypid
       left join pg_catalog.pg_attrdef d on d.adrelid operator(pg_catalog.=) a.attrelid and d.adnum operator(pg_catalog.=) a.attnum
       left join pg_catalog.pg_collation co on co.oid operator(pg_catalog.=) a.attcollation
       left join pg_catalog.pg_namespace cn on cn.oid operator(pg_catalog.=) co.collnamespace
      where a.attrelid operator(pg_catalog.=) $1::pg_catalog.oid and a.attnum operator(pg_catalog.>) 0 and not a.attisdropped
      order by a.attnum`,
    [table.oid, qualified(table)],
  )
  return rows.map(columnOf)
}

async function readSequence(session: PostgresSession, name: string): Promise<OwnedSequence> {
  const [row] = await session.query<{
    type: string
    start: string
    increment: string
    min: string
    max: string
    cache: string
    cycle: string
    last_value: string
    is_called: string
  }>(
    `select pg_catalog.format_type(s.seqtypid, null) as type, s.seqstart as start, s.seqincrement as increment, s.seqmin as min,
            s.seqmax as max, s.seqcache as cache, s.seqcycle as cycle, v.last_value, v.is_called
       from pg_catalog.pg_sequence s, ${name} v
      where s.seqrelid operator(pg_catalog.=) $1::pg_catalog.regclass`,
    [name],
  )
  if (row === undefined)
    throw new OperationError('server-failed', `reading sequence ${name}: it is not there`)
  const { cycle, last_value, is_called, ...rest } = row
  return { ...rest, isCycling: cycle === 't', lastValue: last_value, isCalled: is_called === 't' }
}

/** Its name for SQL. */
export const qualified = ({ schema, name }: Pick<FoundTable, 'schema' | 'name'>): string =>
  `${quoteIdentifier(schema)}.${quoteIdentifier(name)}`
