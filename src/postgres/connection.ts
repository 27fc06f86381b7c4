import { Socket } from 'node:net'
import { Client, type QueryResult, type Submittable } from 'pg'
import type { RunContext } from '../domain/run-context.ts'
import { clientConfigOf, isTlsRefusal } from './client-config.ts'
import { describeConninfo, isSocketDirectory, type Conninfo } from './conninfo.ts'
import { toOperationError, type StatementPurpose } from './server-error.ts'

/** Every value as the server's text; numbers, LSNs and times are not squeezed into JavaScript's (R71). */
type TextRow = Record<string, string | null>

/** One connection to one server process. Statements run one after the other. */
export interface PostgresSession extends AsyncDisposable {
  /** Aborted when the session ends without our doing; the reason is an OperationError. */
  readonly lost: AbortSignal
  /** For messages: where it is connected to, without the password. */
  readonly description: string
  readonly user: string
  /**
   * Runs one statement, parameters as $1, $2. Names must be qualified: search_path is empty, so that nothing in a schema
   * that others may write to is called by mistake.
   */
  query<Row extends object = TextRow>(
    sql: string,
    parameters?: readonly (string | null)[],
    purpose?: StatementPurpose,
  ): Promise<readonly Row[]>
  /** Runs one statement, and gives how many rows it changed or copied, as its command tag says. */
  count(sql: string): Promise<number>
  /** Hands a query of the driver's kind to it, such as a stream. No statement may be under way. */
  submit<Query extends Submittable>(query: Query): Query
  /** Cuts the connection; what runs in it is rolled back by the server. */
  destroy(reason: Error): void
}

/**
 * Opens a session. When the context's signal is aborted the connection is cut at once and the server, which looks after
 * its clients every second, drops the statement.
 */
export async function connect(conninfo: Conninfo, context: RunContext): Promise<PostgresSession> {
  context.signal.throwIfAborted()
  try {
    return await openSession(conninfo, conninfo.sslmode !== 'disable', context)
  } catch (error) {
    if (conninfo.sslmode === 'prefer' && isTlsRefusal(error)) return openSession(conninfo, false, context)
    throw error
  }
}

async function openSession(
  conninfo: Conninfo,
  withTls: boolean,
  context: RunContext,
): Promise<PostgresSession> {
  const socket = new Socket()
  const useTls = withTls && !isSocketDirectory(conninfo.hostaddr ?? conninfo.host)
  const config = await clientConfigOf(conninfo, useTls)
  const client = new Client({ ...config, stream: () => socket })
  const session = new ClientSession(client, { socket, conninfo, signal: context.signal })
  const abort = (): void => {
    session.destroy(abortReason(context.signal))
  }
  context.signal.addEventListener('abort', abort, { once: true })
  session.onClose(() => {
    context.signal.removeEventListener('abort', abort)
  })
  try {
    await client.connect()
    await session.query("select pg_catalog.set_config('search_path', '', false)")
    return session
  } catch (cause) {
    session.destroy(new Error('the connection was not completed', { cause }))
    context.signal.throwIfAborted()
    throw toOperationError(cause, conninfo, { doing: 'connecting' })
  }
}

/** How long the server gets to end the session after we said goodbye: a backend in a long statement may not listen. */
const farewellMs = 5000

interface SessionParts {
  readonly socket: Socket
  readonly conninfo: Conninfo
  readonly signal: AbortSignal
}

class ClientSession implements PostgresSession {
  readonly description: string
  readonly user: string
  readonly #client: Client
  readonly #socket: Socket
  readonly #conninfo: Conninfo
  readonly #signal: AbortSignal
  readonly #lost = new AbortController()
  readonly #closed: Promise<void>
  #previous: Promise<unknown> = Promise.resolve()
  #isEnding = false
  #lossCause: Error | undefined

  constructor(client: Client, { socket, conninfo, signal }: SessionParts) {
    this.#client = client
    this.#socket = socket
    this.#conninfo = conninfo
    this.#signal = signal
    this.description = describeConninfo(conninfo)
    this.user = conninfo.user
    this.#closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.#lose(new Error('the connection was closed'))
        resolve()
      })
    })
    client.on('error', (error) => {
      this.#lose(error)
    })
  }

  get lost(): AbortSignal {
    return this.#lost.signal
  }

  onClose(listener: () => void): void {
    this.#socket.once('close', listener)
  }

  async query<Row extends object = TextRow>(
    sql: string,
    parameters: readonly (string | null)[] = [],
    purpose: StatementPurpose = { doing: 'running a statement' },
  ): Promise<readonly Row[]> {
    return (await this.#inTurn<Row>(sql, parameters, purpose)).rows
  }

  async count(sql: string): Promise<number> {
    return (await this.#inTurn(sql, [], { doing: 'running a statement' })).rowCount ?? 0
  }

  submit<Query extends Submittable>(query: Query): Query {
    this.#signal.throwIfAborted()
    this.lost.throwIfAborted()
    return this.#client.query(query)
  }

  destroy(reason: Error): void {
    this.#lose(reason)
    this.#isEnding = true
    this.#socket.destroy()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#socket.destroyed) {
      await this.#closed
      return
    }
    this.#isEnding = true
    const cut = AbortSignal.timeout(farewellMs)
    const destroy = (): void => {
      this.#socket.destroy()
    }
    cut.addEventListener('abort', destroy, { once: true })
    // "close" comes when the server process has ended, after it has left backup mode.
    this.#client.end().catch(destroy)
    await this.#closed
    cut.removeEventListener('abort', destroy)
  }

  async #inTurn<Row extends object>(
    ...statement: [sql: string, parameters: readonly (string | null)[], purpose: StatementPurpose]
  ): Promise<QueryResult<Row>> {
    const turn = this.#previous.then(() => this.#run<Row>(...statement))
    // The next statement waits for this one, however it ends; the failure itself goes to our caller.
    this.#previous = turn.catch(() => undefined)
    return turn
  }

  async #run<Row extends object>(
    sql: string,
    parameters: readonly (string | null)[],
    purpose: StatementPurpose,
  ): Promise<QueryResult<Row>> {
    this.#signal.throwIfAborted()
    this.lost.throwIfAborted()
    try {
      return await this.#client.query<Row>(sql, [...parameters])
    } catch (cause) {
      this.#signal.throwIfAborted()
      // A cut connection fails its statement with a bare socket error; the reason says more.
      throw toOperationError(this.#lossCause ?? cause, this.#conninfo, purpose)
    }
  }

  #lose(cause: Error): void {
    if (this.#isEnding || this.lost.aborted) return
    this.#lossCause = cause
    this.#lost.abort(toOperationError(cause, this.#conninfo, { doing: 'keeping the session' }))
  }
}

function abortReason(signal: AbortSignal): Error {
  return signal.reason instanceof Error ? signal.reason : new Error('the operation was cancelled')
}
