import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { connect } from '../postgres/connection.ts'
import type { Conninfo } from '../postgres/conninfo.ts'
import { isServerAnswer } from '../postgres/server-error.ts'

const probeIntervalMs = 3000
/** A server that crashed or is restarted answers again sooner, if only that it is starting. */
const patienceMs = 15_000

/** Looks after the server for as long as its WAL is waited for. Disposing it ends that. */
export interface ServerWatch extends AsyncDisposable {
  /** Aborted with an OperationError `server-unreachable` when the server has not answered for a while. */
  readonly gone: AbortSignal
}

/** Every refusal counts as an answer: a server that says that it is starting will archive. */
export function watchServer(conninfo: Conninfo, context: RunContext): ServerWatch {
  const gone = new AbortController()
  const over = new AbortController()
  const watching = { ...context, signal: AbortSignal.any([context.signal, over.signal]) }
  const watch = async (): Promise<void> => {
    const failure = await untilGone(conninfo, watching)
    if (failure !== undefined) gone.abort(failure)
  }
  const watched = watch()
  return {
    gone: gone.signal,
    [Symbol.asyncDispose]: async () => {
      over.abort()
      await watched
    },
  }
}

/** Undefined: the watch is over, the server is there or nobody knows. */
async function untilGone(conninfo: Conninfo, context: RunContext): Promise<OperationError | undefined> {
  const { clock, signal } = context
  const isOver = (): boolean => signal.aborted
  let answeredAt = clock.monotonic()
  while (!isOver()) {
    try {
      await clock.sleep(probeIntervalMs, signal)
      await probe(conninfo, context)
      answeredAt = clock.monotonic()
    } catch (cause) {
      const silentMs = clock.monotonic() - answeredAt
      if (!isOver() && silentMs >= patienceMs) return silent(silentMs, cause)
    }
  }
  return undefined
}

/** Throws when there is no answer. */
async function probe(conninfo: Conninfo, context: RunContext): Promise<void> {
  const signal = AbortSignal.any([context.signal, AbortSignal.timeout(probeIntervalMs)])
  try {
    await using _ = await connect(conninfo, { ...context, signal })
  } catch (error) {
    if (!isServerAnswer(error)) throw error
  }
}

function silent(silentMs: number, cause: unknown): OperationError {
  const why = cause instanceof Error ? cause.message : String(cause)
  return new OperationError(
    'server-unreachable',
    `the server has not answered for ${Math.round(silentMs / 1000)} s: ${why}`,
    { cause },
  )
}
