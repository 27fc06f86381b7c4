import { OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { PostgresSession } from '../postgres/connection.ts'
import { copyRows } from '../postgres/copy-rows.ts'
import { quoteIdentifier } from '../postgres/quote-sql.ts'
import { serverWords } from '../postgres/server-error.ts'
import { planRecreation, type Recreation } from './recreate-table.ts'
import { findTable, qualified, readDefinition, type FoundTable } from './table-definition.ts'

export interface RescueRequest {
  /** NAME or SCHEMA.NAME, all in one database. */
  readonly tables: readonly string[]
  /** The schema of the live database that they are put into; made if missing. */
  readonly schema: string
  /** Whether tables of the same names there are dropped first. */
  readonly isReplacing: boolean
}

export interface RescuedTable {
  /** As it was called at that moment. */
  readonly from: Pick<FoundTable, 'schema' | 'name'>
  readonly to: Pick<FoundTable, 'schema' | 'name'>
  readonly rows: number
  readonly bytes: number
  /** Foreign keys that do not hold any more and were left out, and what the server said. */
  readonly brokenForeignKeys: readonly { readonly name: string; readonly reason: string }[]
}

interface Ends {
  /** Of the sandbox. */
  readonly source: PostgresSession
  /** Of the live database. */
  readonly target: PostgresSession
}

/**
 * Copies tables out of a sandbox into a database that lives: definition, rows, sequences that they own, indexes, constraints, comments.
 * Either all of them are there in the end or nothing was changed. Throws `not-found`, `usage`, and `not-confirmed` when a
 * table is there already and is not to be replaced.
 */
export async function rescueTables(
  request: RescueRequest,
  ends: Ends,
  context: RunContext,
): Promise<readonly RescuedTable[]> {
  const { source, target } = ends
  const found = await findTables(request.tables, source)
  await target.query('begin')
  await target.query(`create schema if not exists ${quoteIdentifier(request.schema)}`, [], {
    doing: `making schema ${quote(request.schema)}`,
  })
  for (const table of found) await makeRoom(table, request, target)
  const rescued: RescuedTable[] = []
  for (const table of found)
    rescued.push(await rescueTable(table, { ...ends, schema: request.schema }, context))
  await target.query('commit')
  return rescued
}

/** Throws `usage` when two have the same name: they come to lie in one schema. */
export async function findTables(
  wanted: readonly string[],
  source: PostgresSession,
): Promise<readonly FoundTable[]> {
  const found: FoundTable[] = []
  for (const name of wanted) found.push(await findTable(source, name))
  const names = found.map(({ name }) => name)
  const repeated = names.find((name, index) => names.indexOf(name) !== index)
  if (repeated === undefined) return found
  throw new OperationError('usage', `rescuing tables: two of them are called ${quote(repeated)}`, {
    hint: 'Rescue them one after the other, into two schemas.',
  })
}

async function makeRoom(table: FoundTable, request: RescueRequest, target: PostgresSession): Promise<void> {
  const place = { schema: request.schema, name: table.name }
  const [there] = await target.query<{ there: string }>(
    'select pg_catalog.to_regclass($1) is not null as there',
    [qualified(place)],
  )
  if (there?.there !== 't') return
  if (!request.isReplacing) {
    throw new OperationError(
      'not-confirmed',
      `rescuing ${quote(table.name)}: schema ${quote(request.schema)} has a table of that name`,
      {
        hint: 'Name another schema with "--as", or add "--replace" when the one that is there shall go.',
      },
    )
  }
  await target.query(`drop table ${qualified(place)}`, [], {
    doing: `dropping ${quote(table.name)} to replace it`,
  })
}

async function rescueTable(
  table: FoundTable,
  { source, target, schema }: Ends & { readonly schema: string },
  context: RunContext,
): Promise<RescuedTable> {
  const definition = await readDefinition(source, table)
  const plan = planRecreation(definition, schema)
  const to = { schema, name: table.name }
  const doing = `making ${quote(`${schema}.${table.name}`)}`
  for (const sql of plan.before) await target.query(sql, [], { doing })
  context.report({ kind: 'note', message: `copying the rows of ${quote(`${table.schema}.${table.name}`)}` })
  const copied = await copyRows({ source, target, ...copySql(table, plan, to) }, context.signal)
  for (const sql of plan.after) await target.query(sql, [], { doing })
  const brokenForeignKeys: { name: string; reason: string }[] = []
  for (const { name, sql } of plan.foreignKeys) {
    const reason = await tryInTransaction(target, sql)
    if (reason !== undefined) brokenForeignKeys.push({ name, reason })
  }
  return { from: table, to, ...copied, brokenForeignKeys }
}

/** How all its rows are read, and how they are written into the table that was made for them. */
export function copySql(
  table: FoundTable,
  plan: Recreation,
  to: RescuedTable['to'],
): { readonly sourceSql: string; readonly targetSql: string } {
  const columns = plan.columns.map(quoteIdentifier).join(', ')
  // ONLY rows of its own, unless it is partitioned: then all of them come to lie in one table.
  const rowsOf = table.kind === 'p' ? qualified(table) : `only ${qualified(table)}`
  return {
    sourceSql: `copy (select ${columns} from ${rowsOf}) to stdout`,
    targetSql: `copy ${qualified(to)} (${columns}) from stdin`,
  }
}

/** Gives what the server said against it. */
async function tryInTransaction(target: PostgresSession, sql: string): Promise<string | undefined> {
  await target.query('savepoint trial')
  try {
    await target.query(sql)
    await target.query('release savepoint trial')
    return undefined
  } catch (error) {
    if (target.lost.aborted) throw error
    await target.query('rollback to savepoint trial')
    return serverWords(error)
  }
}
