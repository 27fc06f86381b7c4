import { formatDuration } from '../domain/duration.ts'
import { OperationError, type OperationErrorCode } from '../domain/operation-error.ts'
import type { Clock } from '../domain/run-context.ts'
import { randomBelow } from '../platform/random.ts'
import type { RequestSlots } from './request-slots.ts'

/** What an error of a store means for the call, and in the operator's words. */
export interface StoreFailure {
  /** Whether the same request may succeed later without anybody doing anything. */
  readonly isTransient: boolean
  /** Whether the store itself answered; otherwise nothing says that it is there at all. */
  readonly hasAnswered: boolean
  /** The store asks to be asked less. */
  readonly isThrottling: boolean
  /** How long the store wants to be left alone. */
  readonly retryAfterMs: number
  readonly code: OperationErrorCode
  readonly found: string
  readonly hint: string
}

export interface RetryPolicy {
  /** How long one call may take with all its attempts. */
  readonly callTimeoutMs: number
  /** How long a store that has never answered is tried: longer, and a wrong address would look like a slow store. */
  readonly firstAnswerTimeoutMs: number
  readonly maxAttempts: number
  /** The wait before the second attempt is at most so long; it doubles with each further one. */
  readonly firstWaitMs: number
  readonly longestWaitMs: number
}

export const usualRetryPolicy: Omit<RetryPolicy, 'callTimeoutMs'> = {
  firstAnswerTimeoutMs: 30_000,
  maxAttempts: 200,
  firstWaitMs: 100,
  longestWaitMs: 20_000,
}

/** What the calls of one store have in common. */
export interface Retrying {
  readonly clock: Clock
  readonly policy: RetryPolicy
  readonly slots: RequestSlots
  /** The setting that says how long a call is tried, for the message: `s3.call-timeout`. */
  readonly timeoutSetting: string
  /** Undefined: a mistake of ours, which is passed on as it is. */
  readonly judge: (error: unknown) => StoreFailure | undefined
  /** What of an error may be told as a cause. */
  readonly causeOf: (error: unknown) => Promise<unknown>
  /** Tells the operator that a call is taking long, and why. */
  readonly warn: (message: string, hint: string) => void
  /** Whether the store has ever answered. */
  hasAnswered: boolean
  /** When a warning was given last, by the monotonic clock. */
  warnedAtMs: number
}

interface Call<T> {
  /** What is being done, and to what, for the message. */
  readonly doing: string
  /** How many bytes an attempt holds in memory. */
  readonly bytes: number
  readonly signal: AbortSignal | undefined
  readonly attempt: (signal: AbortSignal) => Promise<T>
}

/**
 * Attempts a call until it succeeds, fails for good, or its time is up. Waits between attempts are random up to a bound
 * that doubles, so that many callers do not come back together; a store that says how long it wants to be left alone is
 * left alone so long. Rejects with the caller's reason when the caller aborts, otherwise with an `OperationError`.
 */
export async function callWithRetry<T>(call: Call<T>, retrying: Retrying): Promise<T> {
  call.signal?.throwIfAborted()
  const ended = new AbortController()
  const late = new AbortController()
  const signal = AbortSignal.any([late.signal, ...(call.signal === undefined ? [] : [call.signal])])
  const { clock, policy } = retrying
  clock.sleep(policy.callTimeoutMs, ended.signal).then(
    () => late.abort(),
    () => undefined, // it ended in time
  )
  try {
    return await attemptUntil(call, signal, retrying)
  } finally {
    ended.abort()
  }
}

async function attemptUntil<T>(call: Call<T>, signal: AbortSignal, retrying: Retrying): Promise<T> {
  const startedMs = retrying.clock.monotonic()
  let last: Failed | undefined
  for (let attempts = 1; ; attempts++) {
    try {
      return await attemptOnce(call, signal, retrying)
    } catch (error) {
      call.signal?.throwIfAborted()
      last = signal.aborted ? last : await failedBy(error, call, retrying)
    }
    const spent = (): Spent => ({ attempts, elapsedMs: retrying.clock.monotonic() - startedMs })
    if (signal.aborted || isEnough(spent(), retrying)) throw gaveUp(call, { last, ...spent() }, retrying)
    try {
      warnOfDelay(call, last, { spent: spent(), retrying })
      await retrying.clock.sleep(waitMs(last, spent(), retrying), signal)
    } catch {
      call.signal?.throwIfAborted()
      throw gaveUp(call, { last, ...spent() }, retrying)
    }
  }
}

async function attemptOnce<T>(call: Call<T>, signal: AbortSignal, retrying: Retrying): Promise<T> {
  const answer = await retrying.slots.run(call.bytes, signal, () => call.attempt(signal))
  retrying.slots.grow()
  retrying.hasAnswered = true
  return answer
}

interface Failed {
  readonly failure: StoreFailure
  readonly cause: unknown
}

interface Spent {
  readonly attempts: number
  readonly elapsedMs: number
}

/** Throws what no further attempt can cure. */
async function failedBy<T>(error: unknown, { doing }: Call<T>, retrying: Retrying): Promise<Failed> {
  const failure = error instanceof OperationError ? undefined : retrying.judge(error)
  if (failure === undefined) throw error
  if (failure.hasAnswered) retrying.hasAnswered = true
  if (failure.isThrottling) retrying.slots.shrink()
  const cause = await retrying.causeOf(error)
  if (failure.isTransient) return { failure, cause }
  throw new OperationError(failure.code, `${doing}: ${failure.found}`, { cause, hint: failure.hint })
}

function isEnough({ attempts, elapsedMs }: Spent, { policy, hasAnswered }: Retrying): boolean {
  return attempts >= policy.maxAttempts || (!hasAnswered && elapsedMs >= policy.firstAnswerTimeoutMs)
}

/** How long a call may take without a word, and how long a word about a store is enough. */
const silenceMs = 2000
const warningIntervalMs = 60_000

/** A caller that gives up by itself tells only that; so the reason is told before. */
function warnOfDelay<T>(
  { doing }: Call<T>,
  last: Failed | undefined,
  { spent, retrying }: { readonly spent: Spent; readonly retrying: Retrying },
): void {
  const nowMs = retrying.clock.monotonic()
  if (last === undefined || spent.elapsedMs < silenceMs) return
  if (nowMs - retrying.warnedAtMs < warningIntervalMs) return
  retrying.warnedAtMs = nowMs
  const { found, hint } = last.failure
  retrying.warn(`${doing}: ${found}; it is being tried again`, hint)
}

function waitMs(
  last: Failed | undefined,
  { attempts, elapsedMs }: Spent,
  { hasAnswered, policy }: Retrying,
): number {
  const bound = Math.min(policy.longestWaitMs, policy.firstWaitMs * 2 ** (attempts - 1))
  const wait = Math.max(randomBelow(Math.ceil(bound) + 1), last?.failure.retryAfterMs ?? 0)
  return hasAnswered ? wait : Math.min(wait, Math.max(0, policy.firstAnswerTimeoutMs - elapsedMs))
}

function gaveUp<T>(
  { doing }: Call<T>,
  { last, attempts, elapsedMs }: Spent & { readonly last: Failed | undefined },
  { timeoutSetting }: Retrying,
): OperationError {
  const spent = `given up after ${formatDuration(elapsedMs)} and ${attempts === 1 ? 'one attempt' : `${attempts} attempts`}`
  if (last === undefined) {
    return new OperationError('store-unreachable', `${doing}: the store did not answer in time, ${spent}`, {
      hint: `Check the network between this machine and the store, and whether ${timeoutSetting} fits its speed.`,
    })
  }
  const { failure, cause } = last
  return new OperationError(failure.code, `${doing}: ${failure.found}, ${spent}`, {
    cause,
    hint: failure.hint,
  })
}
