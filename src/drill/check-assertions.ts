import type { RunContext } from '../domain/run-context.ts'
import { connect, type PostgresSession } from '../postgres/connection.ts'
import type { Conninfo } from '../postgres/conninfo.ts'
import { serverWords } from '../postgres/server-error.ts'
import type { DrillCheck } from './drill-report.ts'

/** How long one assertion may take. */
const mostMs = 600_000
const shownBytes = 200

/**
 * Runs what the user asserts: each statement must give one row with one value that is true. A failing one ends none of the
 * others. Without assertions there is nothing to fail.
 */
export async function checkAssertions(
  statements: readonly string[],
  conninfo: Conninfo,
  context: RunContext,
): Promise<DrillCheck<'assertions'>> {
  const name = 'assertions'
  if (statements.length === 0) return { name, state: 'passed', message: 'none were given', findings: [] }
  const findings: string[] = []
  await using session = await connect(conninfo, context)
  await session.query(`set statement_timeout = ${mostMs}`)
  for (const statement of statements) {
    const problem = await problemWith(statement, session)
    if (problem !== undefined) findings.push(`${statement.slice(0, shownBytes)}: ${problem}`)
  }
  const message = `${findings.length} of ${statements.length} do not hold`
  return findings.length > 0
    ? { name, state: 'failed', message, findings }
    : { name, state: 'passed', message: `${statements.length} hold`, findings }
}

async function problemWith(statement: string, session: PostgresSession): Promise<string | undefined> {
  try {
    // Ours is empty; users write what they write to psql.
    await session.query('set search_path to "$user", public')
    const rows = await session.query(statement)
    const values = rows.flatMap((row) => Object.values(row))
    if (values.length === 1 && values[0] === 't') return undefined
    const found = values.length === 1 ? `it gave ${String(values[0])}` : `it gave ${values.length} values`
    return `expected one value that is true, ${found}`
  } catch (error) {
    if (session.lost.aborted) throw error
    return serverWords(error)
  }
}

/** Splits a file of statements at semicolons at the ends of lines. Lines that begin with "--" are left out. */
export function splitAssertions(text: string): readonly string[] {
  return text
    .split('\n')
    .filter((line) => !/^\s*--/.test(line))
    .join('\n')
    .split(/;\s*(?:\n|$)/)
    .map((statement) => statement.trim())
    .filter((statement) => statement !== '')
}
