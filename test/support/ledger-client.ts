import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { planTransaction } from './ledger-transaction.ts'
import type { LedgerTransaction } from './ledger-transaction.ts'
import type { Random } from './seeded-random.ts'
import { isConnectionLoss } from './server-session.ts'
import type { Session } from './server-session.ts'

/** How a transaction ended, as its client saw it. */
export type Outcome =
  | { readonly kind: 'acknowledged'; readonly id: number; readonly lsn: string | undefined }
  /** Never committed, for certain. */
  | { readonly kind: 'rejected'; readonly id: number }
  /** The connection was lost between sending COMMIT and its answer. */
  | { readonly kind: 'unknown'; readonly id: number }

/** What the clients of one ledger share. */
export interface LedgerRun {
  readonly accounts: number
  readonly pauseBetweenMs: number
  readonly connect: () => Promise<Session>
  readonly nextId: () => number
  readonly record: (outcome: Outcome) => void
  /** Waits while the ledger is paused. False: stop. A turn that was taken is given back by `release`. */
  readonly takeTurn: () => Promise<boolean>
  readonly release: () => void
}

const reconnectMs = 30

/** Runs transactions until its turn is denied. Outlives restarts and crashes of the server; other errors are thrown. */
export async function runLedgerClient(run: LedgerRun, random: Random): Promise<void> {
  for (let mayGoOn = true; mayGoOn;) {
    try {
      await using session = await run.connect()
      await useSession(session, run, random)
      mayGoOn = false
    } catch (error) {
      if (!isConnectionLoss(error)) throw error
      mayGoOn = await run.takeTurn()
      if (mayGoOn) run.release()
      await sleep(reconnectMs)
    }
  }
}

async function useSession(session: Session, run: LedgerRun, random: Random): Promise<void> {
  let next = performance.now() + random(Math.ceil(run.pauseBetweenMs) + 1)
  while (await run.takeTurn()) {
    try {
      await transact(session, planTransaction(run.accounts, random, run.nextId), run.record)
    } finally {
      run.release()
    }
    // After a pause nobody catches up with what was missed.
    next = Math.max(next + run.pauseBetweenMs, performance.now() - run.pauseBetweenMs)
    const wait = next - performance.now()
    if (wait > 0) await sleep(wait)
  }
}

async function transact(
  session: Session,
  { id, body, end, withdrawn }: LedgerTransaction,
  record: LedgerRun['record'],
): Promise<void> {
  for (const regretted of withdrawn) record({ kind: 'rejected', id: regretted })
  try {
    await session.query(body)
  } catch (error) {
    record({ kind: 'rejected', id })
    throw error
  }
  if (end === 'ROLLBACK') {
    record({ kind: 'rejected', id })
    await session.query('rollback')
    return
  }
  try {
    const { command } = await session.query('commit')
    assert.equal(command, 'COMMIT')
  } catch (error) {
    record({ kind: 'unknown', id })
    throw error
  }
  await acknowledge(session, id, record)
}

/** The commit's record ends at or before the position asked for now. The commit counts even if we cannot ask any more. */
async function acknowledge(session: Session, id: number, record: LedgerRun['record']): Promise<void> {
  try {
    const { rows } = await session.query<{ lsn: string }>('select pg_current_wal_insert_lsn() as lsn')
    record({ kind: 'acknowledged', id, lsn: rows[0]?.lsn })
  } catch (error) {
    record({ kind: 'acknowledged', id, lsn: undefined })
    throw error
  }
}
