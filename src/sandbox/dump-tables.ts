import assert from 'node:assert/strict'
import { access, constants, lstat, open, unlink, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'
import type { RunContext } from '../domain/run-context.ts'
import { hasSystemCode, writeFailure } from '../platform/durable-file.ts'
import type { PostgresSession } from '../postgres/connection.ts'
import { readRows } from '../postgres/copy-rows.ts'
import { quoteIdentifier } from '../postgres/quote-sql.ts'
import { planRecreation } from './recreate-table.ts'
import { copySql, findTables, type RescuedTable, type RescueRequest } from './rescue-tables.ts'
import { readDefinition, type FoundTable } from './table-definition.ts'

export interface DumpRequest extends Pick<RescueRequest, 'tables' | 'schema'> {
  /** Must not exist. */
  readonly path: string
}

/** Rows were printed so: whoever reads them must do it likewise, whatever the role or the database says. */
const settings = {
  client_encoding: 'UTF8',
  standard_conforming_strings: 'on',
  DateStyle: 'ISO',
  IntervalStyle: 'postgres',
  TimeZone: 'UTC',
  xmloption: 'content',
  search_path: 'pg_catalog',
} as const

const preamble = [
  '-- Tables out of the past, for psql. They come in one transaction: cut short, this brings nothing.\n',
  '\\set rescue_error_stop :ON_ERROR_STOP\n',
  '\\set ON_ERROR_STOP on\n',
  ...Object.entries(settings).map(([name, value]) => `set "${name}" = '${value}';\n`),
  'begin;\n',
]

/** Foreign keys may not hold any more; each is tried by itself. */
const beforeForeignKeys = 'commit;\n\\set ON_ERROR_STOP off\n'

/** What comes after it in the same session finds it as it was. */
const ending = [
  '\\set ON_ERROR_STOP :rescue_error_stop\n',
  ...Object.keys(settings).map((name) => `reset "${name}";\n`),
]

/**
 * Writes tables of a sandbox into a file that psql runs: what `rescueTables` brings back, under the same schema. The file is
 * this user's alone and complete when this resolves; else it is removed. Throws `not-found`, `usage`, `not-confirmed` when
 * the file exists, `file-unwritable`.
 */
export async function dumpTables(
  { tables, schema, path }: DumpRequest,
  source: PostgresSession,
  context: RunContext,
): Promise<readonly RescuedTable[]> {
  const found = await findTables(tables, source)
  const dumped: RescuedTable[] = []
  const file = await create(path)
  try {
    const script = scriptOf(found, { schema, source, dumped })
    await pipeline(script, file.createWriteStream({ flush: true }), { signal: context.signal })
    return dumped
  } catch (error) {
    await unlink(path).catch(() => undefined) // what went wrong before is what counts
    throw source.lost.aborted ? source.lost.reason : writeFailure(path, error)
  }
}

interface Dumping {
  readonly schema: string
  readonly source: PostgresSession
  /** Filled as tables are written. */
  readonly dumped: RescuedTable[]
}

async function* scriptOf(
  found: readonly FoundTable[],
  { schema, source, dumped }: Dumping,
): AsyncGenerator<string | Uint8Array> {
  yield* preamble
  yield statement(`create schema if not exists ${quoteIdentifier(schema)}`)
  const foreignKeys: string[] = []
  for (const table of found) {
    const plan = planRecreation(await readDefinition(source, table), schema)
    const to = { schema, name: table.name }
    const { sourceSql, targetSql } = copySql(table, plan, to)
    yield* [...plan.before, targetSql].map(statement)
    const rows = readRows(source, sourceSql)
    let bytes = 0
    for await (const chunk of rows) {
      assert.ok(chunk instanceof Uint8Array)
      bytes += chunk.length
      yield chunk
    }
    // How many rows there were comes behind them: after the next answer it is known.
    await source.query('select')
    yield endOfRows
    yield* plan.after.map(statement)
    foreignKeys.push(...plan.foreignKeys.map(({ sql }) => statement(sql)))
    dumped.push({ from: table, to, rows: rows.rowCount, bytes, brokenForeignKeys: [] })
  }
  yield* [beforeForeignKeys, ...foreignKeys, ...ending]
}

const endOfRows = '\\.\n'
const statement = (sql: string): string => `${sql};\n`

async function create(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'wx', 0o600)
  } catch (error) {
    throw hasSystemCode(error, 'EEXIST') ? isThere(path) : writeFailure(path, error)
  }
}

/**
 * Throws what keeps a file of this name from being written, as far as it shows before a restore: `not-confirmed` when
 * there is something of that name, `file-unwritable`.
 */
export async function checkWritable(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined)
  if (found !== undefined) throw isThere(path)
  try {
    await access(dirname(path), constants.W_OK | constants.X_OK)
  } catch (error) {
    throw writeFailure(path, error)
  }
}

function isThere(path: string): OperationError {
  return new OperationError('not-confirmed', `writing ${quote(path)}: it is there already`, {
    hint: 'Name a file that does not exist.',
  })
}
