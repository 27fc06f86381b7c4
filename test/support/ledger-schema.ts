import type { TestServer } from './postgres-server.ts'

interface LedgerShape {
  /** Default: 1000. */
  readonly accounts?: number
  /** Default: `postgres`. */
  readonly database?: string
}

/**
 * Accounts move: their updates are partly HOT (`note`) and partly not (`balance` is indexed). The ledger only grows; some
 * memos are long enough to be stored out of line. Balances follow from the ledger, account by account.
 */
const schema = `
  create table accounts (
    id int primary key,
    opened_with bigint not null,
    balance bigint not null,
    region int not null,
    tags int[] not null,
    note text not null
  ) with (fillfactor = 90);
  create index accounts_balance_idx on accounts (balance);
  create index accounts_region_idx on accounts using hash (region);
  create index accounts_tags_idx on accounts using gin (tags);

  create table ledger (
    id bigint primary key,
    debit_account int not null,
    debit int not null,
    credit_account int not null,
    credit int not null,
    written_at timestamptz not null default clock_timestamp(),
    memo text not null default ''
  );
  alter table ledger alter column memo set storage external;
  create index ledger_debit_account_idx on ledger using hash (debit_account);
  create index ledger_written_at_idx on ledger using brin (written_at) with (pages_per_range = 4);

  create table ledger_marks (id bigserial primary key, made_at timestamptz not null default clock_timestamp());
`

/** Creates the tables that `startLedger` works on and `fullCheck` knows: `accounts`, `ledger`, `ledger_marks`. */
export async function prepareLedger(server: TestServer, shape: LedgerShape = {}): Promise<void> {
  const { accounts = 1000, database = 'postgres' } = shape
  await using session = await server.session(database)
  await session.query(schema)
  await session.query(
    `insert into accounts
     select i, i * 10, i * 10, i % 17, array[i % 5, i % 7 + 10], repeat(md5(i::text), 4) from generate_series(1, $1) i`,
    [accounts],
  )
  await session.query('vacuum analyze accounts')
}
