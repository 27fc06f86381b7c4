import assert from 'node:assert/strict'
import { checkLedger } from './full-check-ledger.ts'
import type { LedgerCheckOptions } from './full-check-ledger.ts'
import { checkRelations } from './full-check-relations.ts'
import type { Findings, FullCheckReport } from './findings.ts'
import type { TestServer } from './postgres-server.ts'

export interface FullCheckOptions extends LedgerCheckOptions {
  /** Where the ledger is. Default: `postgres`. */
  readonly ledgerDatabase?: string
}

/** A failure names this many violations. */
const mostNamed = 40

/**
 * Everything that must hold after a restore: recovery has ended; the ledger is what was acknowledged, and balances follow
 * from it; every block of every relation reads with a good checksum; amcheck, with every heap tuple looked up in its
 * indexes; verify_heapam; no visibility map bit that promises too much; the same count by table and by index; every table
 * can be dumped. Throws an AssertionError that names what does not hold. Leaves no object behind in the server. Blocks that
 * the server has in its cache are not read again: a damaged file shows after a restart.
 */
export async function fullCheck(
  server: TestServer,
  options: FullCheckOptions = {},
): Promise<FullCheckReport> {
  const findings: Findings = {
    violations: [],
    counts: { databases: 0, tables: 0, indexes: 0, blocks: 0, rows: 0, ledgerRows: 0 },
  }
  try {
    await runChecks(server, options, findings)
  } catch (error) {
    // The server did not survive the check, or a database could not even be looked at.
    findings.violations.push(`the check broke off: ${String(error)}`)
  }
  const { violations, counts } = findings
  if (violations.length === 0) requireSubstance(counts, violations)
  if (violations.length > 0) throw failure(violations)
  return counts
}

async function runChecks(server: TestServer, options: FullCheckOptions, findings: Findings): Promise<void> {
  const [state] = await server.query<{ recovering: boolean }>('select pg_is_in_recovery() as recovering')
  if (state?.recovering !== false) {
    findings.violations.push('recovery has not ended')
    return
  }
  const databases = await server.query<{ name: string }>(
    'select datname as name from pg_database where datallowconn order by datname',
  )
  for (const [index, { name }] of databases.entries()) {
    await using session = await server.session(name)
    await checkRelations(session, { database: name, sharedToo: index === 0 }, findings)
    findings.counts.databases += 1
  }
  const { ledgerDatabase = 'postgres', ...ledger } = options
  await using session = await server.session(ledgerDatabase)
  await checkLedger(session, ledger, findings)
}

/** A check that looked at nothing has proved nothing. */
function requireSubstance(counts: Findings['counts'], violations: string[]): void {
  for (const what of ['databases', 'tables', 'indexes', 'blocks', 'rows'] as const) {
    if (counts[what] === 0) violations.push(`no ${what} were checked`)
  }
}

function failure(violations: readonly string[]): assert.AssertionError {
  const named = violations.slice(0, mostNamed).map((violation) => `- ${violation}`)
  const more = violations.length > mostNamed ? [`- and ${violations.length - mostNamed} more`] : []
  return new assert.AssertionError({ message: ['the full check failed:', ...named, ...more].join('\n') })
}
