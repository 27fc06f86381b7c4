import { quoteIdentifier, quoteLiteral } from '../postgres/quote-sql.ts'
import { qualified, type OwnedSequence, type TableColumn, type TableDefinition } from './table-definition.ts'

/** Statements that make a table again under another schema, in the order in which they are to be run. */
export interface Recreation {
  /** Before the rows: sequences, and the table. */
  readonly before: readonly string[]
  /** After the rows: where sequences go on, indexes, primary keys, comments. */
  readonly after: readonly string[]
  /** After that, each by itself: rows in other tables may be gone. */
  readonly foreignKeys: readonly { readonly name: string; readonly sql: string }[]
  /** Those that have a value of their own, for COPY. */
  readonly columns: readonly string[]
}

/** Plans how a table is made again in `schema`, with its own name, by what was read of it. */
export function planRecreation(definition: TableDefinition, schema: string): Recreation {
  const target = { schema, name: definition.name }
  const table = qualified(target)
  const sequences = new Map(
    [...definition.sequences.keys()].map((old) => [old, `${quoteIdentifier(schema)}.${lastPart(old)}`]),
  )
  const serials = definition.columns.filter(({ sequence, identity }) => sequence !== null && identity === '')
  const columns = definition.columns.map((column) => columnSql(column, { definition, sequences }))
  return {
    before: [
      ...serials.map(({ sequence }) => createSequence(sequence ?? '', { definition, sequences })),
      `create table ${table} (${columns.join(', ')})`,
      ...serials.map(
        ({ sequence, name }) =>
          `alter sequence ${sequences.get(sequence ?? '') ?? ''} owned by ${table}.${quoteIdentifier(name)}`,
      ),
    ],
    after: [
      ...definition.columns.flatMap((column) => setSequence(column, definition, table)),
      ...definition.constraints
        .filter(({ kind }) => kind !== 'f')
        .map((constraint) => addConstraint(table, constraint)),
      ...definition.indexes.map((sql) => moveIndex(sql, definition, table)),
      ...comments(definition, table),
    ],
    foreignKeys: definition.constraints
      .filter(({ kind }) => kind === 'f')
      .map((constraint) => ({ name: constraint.name, sql: addConstraint(table, constraint) })),
    columns: definition.columns.filter(({ generated }) => generated === '').map(({ name }) => name),
  }
}

interface Known {
  readonly definition: TableDefinition
  /** The new name of each sequence, by its old one. */
  readonly sequences: ReadonlyMap<string, string>
}

function columnSql(column: TableColumn, known: Known): string {
  const { name, type, collation, isNotNull } = column
  return [
    quoteIdentifier(name),
    type,
    ...(collation === null ? [] : [`collate ${collation}`]),
    ...valueSql(column, known),
    ...(isNotNull ? ['not null'] : []),
  ].join(' ')
}

function valueSql(
  { expression, generated, identity, sequence }: TableColumn,
  { definition, sequences }: Known,
): readonly string[] {
  if (identity !== '') {
    const own = definition.sequences.get(sequence ?? '')
    const options = own === undefined ? '' : ` (${sequenceOptions(own)})`
    return [`generated ${identity === 'a' ? 'always' : 'by default'} as identity${options}`]
  }
  if (expression === null) return []
  if (generated !== '')
    return [`generated always as (${expression}) ${generated === 'v' ? 'virtual' : 'stored'}`]
  const renamed = sequence === null ? undefined : sequences.get(sequence)
  return [`default ${renamed === undefined ? expression : ownSequence(renamed)}`]
}

const ownSequence = (name: string): string => `pg_catalog.nextval(${quoteLiteral(name)}::pg_catalog.regclass)`

function createSequence(old: string, { definition, sequences }: Known): string {
  const sequence = definition.sequences.get(old)
  const type = sequence === undefined ? '' : ` as ${sequence.type} ${sequenceOptions(sequence)}`
  return `create sequence ${sequences.get(old) ?? ''}${type}`
}

function sequenceOptions({ start, increment, min, max, cache, isCycling }: OwnedSequence): string {
  const cycle = isCycling ? 'cycle' : 'no cycle'
  return `increment by ${increment} minvalue ${min} maxvalue ${max} start with ${start} cache ${cache} ${cycle}`
}

/** Where it went on from at that moment. */
function setSequence(
  { name, sequence }: TableColumn,
  { sequences }: TableDefinition,
  table: string,
): readonly string[] {
  const known = sequence === null ? undefined : sequences.get(sequence)
  if (known === undefined) return []
  const { lastValue, isCalled } = known
  return [
    `select pg_catalog.setval(pg_catalog.pg_get_serial_sequence(${quoteLiteral(table)}, ${quoteLiteral(name)}), ${lastValue}, ${isCalled})`,
  ]
}

const addConstraint = (
  table: string,
  { name, definition }: { readonly name: string; readonly definition: string },
): string => `alter table ${table} add constraint ${quoteIdentifier(name)} ${definition}`

/** pg_get_indexdef names the table once, between ON and USING. */
function moveIndex(sql: string, { printedName }: TableDefinition, table: string): string {
  for (const before of [` ON ONLY ${printedName} USING `, ` ON ${printedName} USING `]) {
    const at = sql.indexOf(before)
    if (at >= 0) return `${sql.slice(0, at)} ON ${table} USING ${sql.slice(at + before.length)}`
  }
  throw new Error(`an index definition does not name its table: ${sql}`)
}

function comments({ comment, columns }: TableDefinition, table: string): readonly string[] {
  return [
    ...(comment === null ? [] : [`comment on table ${table} is ${quoteLiteral(comment)}`]),
    ...columns.flatMap((column) =>
      column.comment === null
        ? []
        : [`comment on column ${table}.${quoteIdentifier(column.name)} is ${quoteLiteral(column.comment)}`],
    ),
  ]
}

/** The last part of a quoted, qualified name. */
function lastPart(name: string): string {
  return /(?:"(?:[^"]|"")*"|[^."]+)$/.exec(name)?.[0] ?? name
}
