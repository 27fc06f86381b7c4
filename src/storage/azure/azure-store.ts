import { OperationError } from '../../domain/operation-error.ts'
import type { RunContext } from '../../domain/run-context.ts'
import { usualRetryPolicy, type Retrying, type RetryPolicy } from '../call-with-retry.ts'
import { deleteEach, type StillThere } from '../delete-each.ts'
import { assertObjectKey } from '../object-key.ts'
import type { DeleteOptions, ObjectStore } from '../object-store.ts'
import { RequestSlots } from '../request-slots.ts'
import { mostBytesUnderWay, RequestStore } from '../request-store.ts'
import { judgeAzureFailure } from './azure-failure.ts'
import { formatAzureLocation, type AzureLocation, type AzureStoreOptions } from './azure-options.ts'
import { openAzureRequests, type AzureRequests } from './azure-requests.ts'

/** Without `report` nobody is told that a call takes long. */
type StoreContext = Pick<RunContext, 'clock'> & Partial<Pick<RunContext, 'report'>>

/**
 * Opens the store in a container. Asks nothing of it yet: the first call says whether it can be reached. `policy` is for
 * tests, which have less patience.
 */
export async function openAzureStore(
  location: AzureLocation,
  options: AzureStoreOptions,
  { clock, report, policy = {} }: StoreContext & { readonly policy?: Partial<RetryPolicy> },
): Promise<ObjectStore> {
  const { account, endpoint, login, callTimeoutMs, maxRequests } = options
  const { container } = location
  const requests = await openAzureRequests(location, options, clock)
  const asked = { account, container, endpoint, login: login.kind }
  return new AzureStore(location, requests, {
    clock,
    policy: { ...usualRetryPolicy, callTimeoutMs, ...policy },
    slots: new RequestSlots({ requests: maxRequests, bytes: mostBytesUnderWay }),
    judge: (error) => judgeAzureFailure(error, { ...asked, validity: requests.validity, nowMs: clock.now() }),
    causeOf: async (error) => requests.withoutSecrets(error),
    warn: (message, hint) => report?.({ kind: 'warning', message, hint }),
    timeoutSetting: 'azure.call-timeout',
    hasAnswered: false,
    warnedAtMs: -Infinity,
  })
}

/** Opens the store in a container that is there, and can be listed; a container is never made. */
export async function createAzureStore(
  location: AzureLocation,
  options: AzureStoreOptions,
  context: StoreContext & Pick<RunContext, 'signal'>,
): Promise<ObjectStore> {
  await using opened = new AsyncDisposableStack()
  const store = opened.use(await openAzureStore(location, options, context))
  for await (const _ of store.list('', context)) break
  opened.move()
  return store
}

/** Keys are names of blobs in the container, below the prefix. */
class AzureStore extends RequestStore {
  readonly #requests: AzureRequests

  constructor(location: AzureLocation, requests: AzureRequests, retrying: Retrying) {
    super(formatAzureLocation(location), requests, {
      retrying,
      words: { guide: 'docs/azure.md', orderHint: 'Use an account without a hierarchical namespace' },
    })
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
      faultOf: (first, count) => this.#keptFault(first, count),
    })
  }

  #keptFault({ key, name }: StillThere & { readonly key: string }, count: number): OperationError {
    return new OperationError(
      'store-failed',
      `deleting objects of "${this.location}": ${count} of the objects are retained, the first is "${key}" (${name})`,
      { hint: 'Wait until the retention of the objects ends, or end the legal hold (docs/azure.md).' },
    )
  }
}
