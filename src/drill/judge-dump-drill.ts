import type { DumpOutline } from '../logical/dump-outline.ts'
import type { CountedRows } from './count-rows.ts'
import type { DumpDrillCheck } from './dump-drill-report.ts'
import type { LoadedGlobals } from './load-globals.ts'
import type { MadeForDump } from './load-drilled.ts'

/** What came of one database of a dump. */
export interface TriedDatabase {
  readonly database: string
  readonly rawBytes: number
  readonly outline: DumpOutline
  readonly loadMs: number
  /** What is in it; else why it could not be loaded, or counted. */
  readonly result:
    | { readonly kind: 'loaded'; readonly counted: CountedRows }
    | { readonly kind: 'failed'; readonly problem: string }
  /** Why it was not made as the dumped one was. */
  readonly note: string | undefined
}

const count = (number: number, what: string): string =>
  `${number.toLocaleString('en-US')} ${number === 1 ? what : `${what}s`}`

const mostNamed = 20

/** The roles and tablespaces: of the dump or, where it has none, those that had to be made for it. */
export function judgeRoles(globals: LoadedGlobals | undefined, made: MadeForDump): DumpDrillCheck {
  const name = 'roles'
  if (globals !== undefined) {
    const { roleCount, tablespaceCount } = globals
    const message = `${count(roleCount, 'role')} and ${count(tablespaceCount, 'tablespace')}`
    return { name, state: 'passed', message, findings: [] }
  }
  const named = [...made.roles, ...made.tablespaces.map((tablespace) => `tablespace ${tablespace}`)]
  const more = named.length > mostNamed ? ' and others' : ''
  const message =
    named.length === 0
      ? 'the dump holds none, and needs none'
      : `the dump holds none; made for it: ${named.slice(0, mostNamed).join(', ')}${more}`
  return { name, state: 'passed', message, findings: [] }
}

export function judgeLoads(tried: readonly TriedDatabase[]): DumpDrillCheck {
  const name = 'load'
  const problems = tried.flatMap(({ database, result }) =>
    result.kind === 'failed' ? [`${database}: ${result.problem}`] : [],
  )
  if (problems.length > 0) {
    const message = `${problems.length} of ${count(tried.length, 'database')} cannot be loaded`
    return { name, state: 'failed', message, findings: problems }
  }
  if (tried.length === 0)
    return { name, state: 'not-proven', message: 'there is no database in it', findings: [] }
  const notes = tried.flatMap(({ database, note }) =>
    note === undefined ? [] : [`${database}: not made with the locale that it had: ${note}`],
  )
  return { name, state: 'passed', message: count(tried.length, 'database'), findings: notes }
}

/** Every table that a dump names is there, and there is one at all. */
export function judgeTables(tried: readonly TriedDatabase[]): DumpDrillCheck {
  const name = 'tables'
  const loaded = tried.flatMap(({ database, outline, result }) =>
    result.kind === 'loaded'
      ? [{ database, expected: outline.tableCount, found: result.counted.tables }]
      : [],
  )
  const findings = loaded
    .filter(({ expected, found }) => found < expected)
    .map(({ database, expected, found }) => `${database}: the dump has ${expected}, ${found} are there`)
  if (findings.length > 0)
    return {
      name,
      state: 'failed',
      message: `tables are missing in ${count(findings.length, 'database')}`,
      findings,
    }
  const total = loaded.reduce((sum, { found }) => sum + found, 0)
  if (total === 0) return { name, state: 'not-proven', message: 'there are no tables', findings }
  return { name, state: 'passed', message: count(total, 'table'), findings }
}

/** There is a row at all, unless the dump has definitions only. */
export function judgeRows(tried: readonly TriedDatabase[]): DumpDrillCheck {
  const name = 'rows'
  const loaded = tried.flatMap(({ outline, result }) =>
    result.kind === 'loaded' ? [{ outline, rows: result.counted.rows }] : [],
  )
  const rows = loaded.reduce((sum, found) => sum + found.rows, 0)
  if (rows > 0) return { name, state: 'passed', message: `${count(rows, 'row')}, counted`, findings: [] }
  const isOfDefinitions =
    loaded.some(({ outline }) => outline.tableCount > 0) && !loaded.some(({ outline }) => outline.hasRows)
  return isOfDefinitions
    ? { name, state: 'passed', message: 'none: the dump has definitions only', findings: [] }
    : { name, state: 'not-proven', message: 'there is no row in any table', findings: [] }
}
