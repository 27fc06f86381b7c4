import { collect } from './findings.ts'
import type { Findings } from './findings.ts'
import type { Expected } from './ledger.ts'
import type { Session } from './server-session.ts'

export interface LedgerCheckOptions {
  /** What the ledger must hold: see `Ledger.expected`. Without it the ledger is checked only if it is there. */
  readonly expected?: Expected
  /** The ledger holds nothing besides `expected`: no rows of earlier ledgers either. Default: false. */
  readonly exact?: boolean
}

/** Balances that do not follow from the ledger; the sums of all accounts follow from that as well. */
const wrongBalances = `
  select a.id, a.balance::text as found, (a.opened_with + coalesce(sum(m.by), 0))::text as wanted
  from accounts a
  left join (select credit_account as id, credit as by from ledger
             union all select debit_account, -debit from ledger) m using (id)
  group by a.id having a.balance <> a.opened_with + coalesce(sum(m.by), 0)
  order by a.id`

/** The same rows found in two ways: by reading the table, and by asking an index of this kind for all there is. */
const indexComparisons = [
  {
    index: 'ledger_debit_account_idx',
    count: `select count(*) from (select id from accounts offset 0) a,
            lateral (select from ledger l where l.debit_account = a.id offset 0) l`,
    settings: 'set local enable_seqscan = off; set local enable_bitmapscan = off',
  },
  {
    index: 'ledger_written_at_idx',
    count: "select count(*) from ledger where written_at > '2000-01-01'",
    settings: 'set local enable_seqscan = off; set local enable_indexscan = off',
  },
  {
    index: 'accounts_tags_idx',
    count: 'select count(*) from accounts where tags && array[0, 1, 2, 3, 4]',
    settings: 'set local enable_seqscan = off; set local enable_indexscan = off',
  },
  {
    index: 'accounts_region_idx',
    count: `select count(*) from generate_series(0, 16) r(region),
            lateral (select from accounts a where a.region = r.region offset 0) a`,
    settings: 'set local enable_seqscan = off; set local enable_bitmapscan = off',
  },
]

/** Checks what `prepareLedger` made, all in one snapshot. */
export async function checkLedger(
  session: Session,
  options: LedgerCheckOptions,
  findings: Findings,
): Promise<void> {
  const { rows } = await session.query<{ isThere: boolean }>(
    `select to_regclass('public.ledger') is not null and to_regclass('public.accounts') is not null as "isThere"`,
  )
  if (rows[0]?.isThere !== true) {
    if (options.expected !== undefined) findings.violations.push('ledger: its tables are not there')
    return
  }
  await session.query('begin isolation level repeatable read; set local max_parallel_workers_per_gather = 0')
  await checkAcknowledged(session, options, findings)
  await checkBalances(session, findings)
  for (const comparison of indexComparisons) await compareIndex(session, comparison, findings)
  await session.query('rollback')
}

async function checkAcknowledged(
  session: Session,
  { expected, exact = false }: LedgerCheckOptions,
  findings: Findings,
): Promise<void> {
  await collect(findings, 'ledger: acknowledged set', async () => {
    const { rows } = await session.query<{ id: string }>('select id from ledger order by id')
    const found = new Set(rows.map(({ id }) => Number(id)))
    findings.counts.ledgerRows = found.size
    if (expected === undefined) return undefined
    const missing = expected.present.filter((id) => !found.has(id))
    const forbidden = expected.absent.filter((id) => found.has(id))
    const known = new Set([...expected.present, ...expected.unknown])
    const foreign = exact ? [...found].filter((id) => !known.has(id)) : []
    const faults = [
      describe(missing, 'acknowledged rows are missing'),
      describe(forbidden, 'rows are there that must not be'),
      describe(foreign, 'rows are there that nobody wrote'),
    ].filter((fault) => fault !== undefined)
    return faults.length === 0 ? undefined : faults.join('; ')
  })
}

async function checkBalances(session: Session, findings: Findings): Promise<void> {
  await collect(findings, 'ledger: balances', async () => {
    const { rows } = await session.query<{ id: number; found: string; wanted: string }>(wrongBalances)
    if (rows.length === 0) return undefined
    const first = rows.slice(0, 3).map(({ id, found, wanted }) => `account ${id} has ${found}, not ${wanted}`)
    return `${rows.length} accounts do not follow from the ledger: ${first.join('; ')}`
  })
}

async function compareIndex(
  session: Session,
  { index, count, settings }: (typeof indexComparisons)[number],
  findings: Findings,
): Promise<void> {
  await collect(findings, `ledger: ${index}`, async () => {
    await session.query(
      'savepoint before_comparison; set local enable_indexscan = off; set local enable_bitmapscan = off',
    )
    const byTable = await session.query<{ count: string }>(count)
    await session.query(`rollback to before_comparison; ${settings}`)
    const plan = await session.query<{ 'QUERY PLAN': string }>(`explain ${count}`)
    const byIndex = await session.query<{ count: string }>(count)
    await session.query('rollback to before_comparison')
    if (!plan.rows.some((row) => row['QUERY PLAN'].includes(index))) return 'the index was not used'
    if (byTable.rows[0]?.count === byIndex.rows[0]?.count) return undefined
    return `${byTable.rows[0]?.count} rows by the table, ${byIndex.rows[0]?.count} by the index`
  })
}

function describe(ids: readonly number[], what: string): string | undefined {
  if (ids.length === 0) return undefined
  return `${ids.length} ${what} (${ids.slice(0, 5).join(', ')}${ids.length > 5 ? ', ...' : ''})`
}
