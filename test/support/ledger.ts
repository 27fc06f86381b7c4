import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { runLedgerClient } from './ledger-client.ts'
import type { LedgerRun, Outcome } from './ledger-client.ts'
import type { TestServer } from './postgres-server.ts'
import { seededRandom } from './seeded-random.ts'
import { waitUntil } from './wait.ts'

export interface LedgerOptions {
  /** Connections. Default: 4. */
  readonly clients?: number
  /** Transactions per second, all clients together. Default: 300; `Infinity` for as many as possible. */
  readonly ratePerSecond?: number
  /** Default: `postgres`. */
  readonly database?: string
  /** Decides what the transactions do. Default: random; see `Ledger.seed`. */
  readonly seed?: number
}

/** A commit that the server has confirmed to its client. Their order is that of the confirmations. */
export interface Acknowledged {
  readonly id: number
  /** The commit's record ends at or before this. Undefined: the connection was lost before we could ask. */
  readonly lsn: string | undefined
  /** The client's clock when the confirmation came, in milliseconds since the epoch. */
  readonly clientTime: number
}

/** A moment at which no transaction was under way: exactly what was acknowledged before it is before it. */
export interface Marker {
  /** Where the next record will begin: every acknowledged commit ends at or before it, every later one begins after it. */
  readonly lsn: string
  /** The server's clock, after all of the commits before and before all of those after: `2026-11-21 05:15:11.033857+00`. */
  readonly time: string
  /** The transaction that was committed last before the marker, if one was asked for. */
  readonly xid: string | undefined
  readonly acknowledgedCount: number
  readonly unknownCount: number
}

export interface MarkerOptions {
  /** Creates a restore point of that name at the marker. */
  readonly restorePoint?: string
  /** Commits a transaction of its own right before the marker and tells its id. It leaves no trace in the ledger. */
  readonly xid?: boolean
}

/** What the table must hold. */
export interface Expected {
  readonly present: readonly number[]
  readonly absent: readonly number[]
  /** Either is right. */
  readonly unknown: readonly number[]
}

/** Starts transactions on a server where `prepareLedger` has been. */
export async function startLedger(server: TestServer, options: LedgerOptions = {}): Promise<Ledger> {
  const { database = 'postgres', seed = randomInt(2 ** 32) } = options
  await using session = await server.session(database)
  const { rows } = await session.query<{ count: number }>('select count(*)::int as count from accounts')
  const accounts = rows[0]?.count ?? 0
  assert.ok(accounts >= 2, 'a ledger needs at least two accounts')
  return new Ledger(server, accounts, { ...options, database, seed })
}

/**
 * Transactions from several connections of this process, and outside the server the log of how each ended. Goes on over
 * restarts and crashes of the server. Errors other than a lost connection surface in `pause`, `marker` and `stop`.
 */
export class Ledger implements AsyncDisposable {
  readonly seed: number
  readonly #server: TestServer
  readonly #database: string
  readonly #acknowledged: Acknowledged[] = []
  readonly #rejected: number[] = []
  readonly #unknown: number[] = []
  readonly #clients: Promise<unknown>
  #failure: unknown
  #isPaused = false
  #isStopping = false
  #turnsTaken = 0

  constructor(
    server: TestServer,
    accounts: number,
    options: LedgerOptions & { database: string; seed: number },
  ) {
    const { clients = 4, ratePerSecond = 300, database, seed } = options
    this.seed = seed
    this.#server = server
    this.#database = database
    // Ids of two ledgers never meet, also when they write into two copies of the same cluster.
    let lastId = randomInt(1, 9_000_000) * 1_000_000_000
    const run: LedgerRun = {
      accounts,
      pauseBetweenMs: (clients * 1000) / ratePerSecond,
      connect: () => server.session(database),
      nextId: () => (lastId += 1),
      record: (outcome) => this.#record(outcome),
      takeTurn: () => this.#takeTurn(),
      release: () => {
        this.#turnsTaken -= 1
      },
    }
    this.#clients = Promise.all(
      Array.from({ length: clients }, (_, index) =>
        this.#watch(runLedgerClient(run, seededRandom(seed + index))),
      ),
    )
  }

  acknowledged(): readonly Acknowledged[] {
    return this.#acknowledged
  }

  /** Ids whose COMMIT was sent and never answered. */
  unknown(): readonly number[] {
    return this.#unknown
  }

  /** What must be there at a marker; without one, now. */
  expected(marker?: Marker): Expected {
    const acknowledged = this.#acknowledged.map(({ id }) => id)
    const { acknowledgedCount = acknowledged.length, unknownCount = this.#unknown.length } = marker ?? {}
    return {
      present: acknowledged.slice(0, acknowledgedCount),
      absent: [
        ...this.#rejected,
        ...acknowledged.slice(acknowledgedCount),
        ...this.#unknown.slice(unknownCount),
      ],
      unknown: this.#unknown.slice(0, unknownCount),
    }
  }

  /** Resolves when `count` more commits have been acknowledged than now. */
  async advance(count: number, timeoutMs = 30_000): Promise<void> {
    const goal = this.#acknowledged.length + count
    const isThere = (): boolean => this.#failure !== undefined || this.#acknowledged.length >= goal
    await waitUntil(`${count} more acknowledged commits`, isThere, { timeoutMs })
    this.#throwFailure()
  }

  /** Resolves when no transaction is under way any more. */
  async pause(): Promise<void> {
    this.#isPaused = true
    await waitUntil('the transactions under way to end', () => this.#turnsTaken === 0, {
      timeoutMs: 60_000,
      intervalMs: 2,
    })
    this.#throwFailure()
  }

  resume(): void {
    this.#isPaused = false
  }

  /**
   * Pauses, takes down where we are, and goes on unless it was paused before. A small transaction outside the ledger follows
   * the marker, so that recovery to it by time finds a commit to stop before.
   */
  async marker({ restorePoint, xid = false }: MarkerOptions = {}): Promise<Marker> {
    const wasPaused = this.#isPaused
    await this.pause()
    try {
      await using session = await this.#server.session(this.#database)
      const marks = await (xid
        ? session.query<{ xid: string }>(
            'insert into ledger_marks default values returning pg_current_xact_id()::text as xid',
          )
        : undefined)
      if (restorePoint !== undefined)
        await session.query('select pg_create_restore_point($1)', [restorePoint])
      const { rows } = await session.query<{ lsn: string; time: string }>(
        `select pg_current_wal_insert_lsn() as lsn,
                to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00' as time`,
      )
      assert.ok(rows[0])
      await session.query('insert into ledger_marks default values')
      return {
        ...rows[0],
        xid: marks?.rows[0]?.xid,
        acknowledgedCount: this.#acknowledged.length,
        unknownCount: this.#unknown.length,
      }
    } finally {
      this.#isPaused = wasPaused
    }
  }

  /** Ends the clients after the transactions that are under way. What was recorded stays available. */
  async stop(): Promise<void> {
    this.#isStopping = true
    await this.#clients
    this.#throwFailure()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopping = true
    await this.#clients
  }

  async #watch(client: Promise<void>): Promise<void> {
    try {
      await client
    } catch (error) {
      this.#failure ??= error
      this.#isStopping = true
    }
  }

  #throwFailure(): void {
    if (this.#failure === undefined) return
    throw new Error(`a client of the ledger failed (seed ${this.seed})`, { cause: this.#failure })
  }

  #record(outcome: Outcome): void {
    switch (outcome.kind) {
      case 'acknowledged':
        this.#acknowledged.push({ id: outcome.id, lsn: outcome.lsn, clientTime: Date.now() })
        break
      case 'rejected':
        this.#rejected.push(outcome.id)
        break
      case 'unknown':
        this.#unknown.push(outcome.id)
        break
    }
  }

  async #takeTurn(): Promise<boolean> {
    while (this.#isPaused && !this.#isStopping) await sleep(2)
    if (this.#isStopping) return false
    this.#turnsTaken += 1
    return true
  }
}
