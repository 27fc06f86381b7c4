import type { Random } from './seeded-random.ts'

/** One transaction as SQL, without its end, and what must come of it. */
export interface LedgerTransaction {
  readonly id: number
  readonly body: string
  readonly end: 'COMMIT' | 'ROLLBACK'
  /** Ids that it writes into a savepoint which it takes back: never to be seen. */
  readonly withdrawn: readonly number[]
}

/** Shares, in percent. */
const rolledBack = 7
const withSavepoints = 10
const withLongMemo = 5

/** Debits one account and credits another, by different amounts, and says so in the ledger. `nextId` gives unused ids. */
export function planTransaction(accounts: number, random: Random, nextId: () => number): LedgerTransaction {
  const id = nextId()
  const debited = 1 + random(accounts)
  const credited = 1 + ((debited + random(accounts - 1)) % accounts)
  const debit = random(1000)
  const credit = random(1000)
  const memo = random(100) < withLongMemo ? randomHex(random, 3000 + random(6000)) : ''
  const updates = [update(debited, -debit), update(credited, credit)]
  // Always in the order of the accounts, so that two transactions cannot wait for each other.
  const ordered = debited < credited ? updates : updates.toReversed()
  const insert = `insert into ledger values (${id}, ${debited}, ${debit}, ${credited}, ${credit}, default, '${memo}');`
  const end = random(100) < rolledBack ? 'ROLLBACK' : 'COMMIT'
  if (random(100) >= withSavepoints) {
    return { id, end, withdrawn: [], body: ['begin;', ...ordered, insert].join('\n') }
  }
  const regretted = nextId()
  const body = [
    'begin;',
    ...ordered,
    'savepoint regretted;',
    update(Math.max(debited, credited), 1_000_000),
    `insert into ledger values (${regretted}, ${debited}, 0, ${credited}, 1000000);`,
    'rollback to savepoint regretted; savepoint kept;',
    insert,
    'release savepoint kept;',
  ].join('\n')
  return { id, end, withdrawn: [regretted], body }
}

/** Half of the updates leave the indexed balance alone for a moment: those are HOT when the page has room. */
function update(account: number, by: number): string {
  return [
    `update accounts set note = md5(note) || repeat('x', ${Math.abs(by) % 100}) where id = ${account};`,
    `update accounts set balance = balance + (${by}) where id = ${account};`,
  ].join('\n')
}

function randomHex(random: Random, length: number): string {
  const digits = Array.from({ length: Math.ceil(length / 7) }, () =>
    random(0x10000000).toString(16).padStart(7, '0'),
  )
  return digits.join('')
}
