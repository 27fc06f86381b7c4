import type { RunContext } from '../../domain/run-context.ts'
import { usualRetryPolicy, type Retrying, type RetryPolicy } from '../call-with-retry.ts'
import { deleteEach } from '../delete-each.ts'
import { assertObjectKey } from '../object-key.ts'
import type { DeleteOptions, ObjectStore } from '../object-store.ts'
import { RequestSlots } from '../request-slots.ts'
import { mostBytesUnderWay, RequestStore } from '../request-store.ts'
import { judgeFailure } from './gcs-failure.ts'
import { formatGcsLocation, type GcsLocation, type GcsStoreOptions } from './gcs-options.ts'
import { GcsRequests } from './gcs-requests.ts'
import { keptFault } from './kept-fault.ts'

/** Without `report` nobody is told that a call takes long. */
type StoreContext = Pick<RunContext, 'clock'> & Partial<Pick<RunContext, 'report'>>

/**
 * Opens the store in a bucket. Asks nothing of it yet: the first call says whether it can be reached. `policy` is for
 * tests, which have less patience.
 */
export function openGcsStore(
  location: GcsLocation,
  options: GcsStoreOptions,
  { clock, report, policy = {} }: StoreContext & { readonly policy?: Partial<RetryPolicy> },
): ObjectStore {
  const { endpoint, callTimeoutMs, maxRequests } = options
  const requests = new GcsRequests(location, options, clock)
  return new GcsStore(location, requests, {
    clock,
    policy: { ...usualRetryPolicy, callTimeoutMs, ...policy },
    slots: new RequestSlots({ requests: maxRequests, bytes: mostBytesUnderWay }),
    judge: (error) => judgeFailure(error, { bucket: location.bucket, endpoint, nowMs: clock.now() }),
    causeOf: (error) => requests.withoutSecrets(error),
    warn: (message, hint) => report?.({ kind: 'warning', message, hint }),
    timeoutSetting: 'gcs.call-timeout',
    hasAnswered: false,
    warnedAtMs: -Infinity,
  })
}

/** Opens the store in a bucket that is there, and can be listed; a bucket is never made. */
export async function createGcsStore(
  location: GcsLocation,
  options: GcsStoreOptions,
  context: StoreContext & Pick<RunContext, 'signal'>,
): Promise<ObjectStore> {
  await using opened = new AsyncDisposableStack()
  const store = opened.use(openGcsStore(location, options, context))
  for await (const _ of store.list('', context)) break
  opened.move()
  return store
}

/** Keys are names of objects, below the prefix. */
class GcsStore extends RequestStore {
  readonly #requests: GcsRequests

  constructor(location: GcsLocation, requests: GcsRequests, retrying: Retrying) {
    super(
      formatGcsLocation(location),
      {
        get: (key, range, signal) => requests.get(key, range, signal),
        put: (key, object, signal) => requests.put(key, object, signal),
        head: (key, signal) => requests.head(key, signal),
        listPage: (prefix, after, signal) => requests.listPage(prefix, { after }, signal),
        close: () => requests.close(),
      },
      {
        retrying,
        words: { guide: 'docs/gcs.md', orderHint: 'Use a store that lists in the order of the keys' },
      },
    )
    this.#requests = requests
  }

  async delete(keys: readonly string[], { signal, onKept }: DeleteOptions = {}): Promise<void> {
    keys.forEach(assertObjectKey)
    signal?.throwIfAborted()
    await deleteEach(keys, {
      most: this.retrying.slots.allowedRequests,
      signal,
      onKept,
      deleteOne: (key, bothSignals) =>
        this.call({
          doing: `deleting ${this.nameOf(key)}`,
          bytes: 0,
          signal: bothSignals,
          attempt: async (attemptSignal) => {
            const outcome = await this.#requests.delete(key, attemptSignal)
            if (outcome === 'gone' || outcome.reason === 'retained' || onKept !== undefined) return outcome
            throw outcome.error
          },
        }),
      faultOf: (first, count) => keptFault(this.location, first, count),
    })
  }
}
