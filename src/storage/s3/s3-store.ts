import { OperationError } from '../../domain/operation-error.ts'
import type { RunContext } from '../../domain/run-context.ts'
import { usualRetryPolicy, type Retrying, type RetryPolicy } from '../call-with-retry.ts'
import { assertObjectKey } from '../object-key.ts'
import type {
  DeleteOptions,
  ObjectStore,
  Retention,
  StoreCallOptions,
  StoreProtection,
} from '../object-store.ts'
import { RequestSlots } from '../request-slots.ts'
import { mostBytesUnderWay, RequestStore } from '../request-store.ts'
import { AnswerFault } from '../answer-fault.ts'
import { readBucketProtection } from './bucket-protection.ts'
import { judgeFailure, withoutLock } from './s3-failure.ts'
import { formatS3Location, type S3Location, type S3StoreOptions } from './s3-options.ts'
import { openS3Requests, type KeptKey, type ObjectLock, type S3Requests } from './s3-requests.ts'

/** Without `report` nobody is told that a call takes long. */
export type S3StoreContext = Pick<RunContext, 'clock'> &
  Partial<Pick<RunContext, 'report' | 'signal'>> & { readonly policy?: Partial<RetryPolicy> }

const dayMs = 24 * 60 * 60 * 1000
/** What the store deletes with one request at most. */
const keysPerDeletion = 1000

/**
 * Opens the store in a bucket. Asks nothing of it yet: the first call says whether it can be reached. `policy` is for
 * tests, which have less patience.
 */
export async function openS3Store(
  location: S3Location,
  options: S3StoreOptions,
  context: S3StoreContext,
): Promise<S3Store> {
  const { requests, retrying } = await openS3Parts(location, options, context)
  return new S3Store(location, requests, { retention: options.retention, retrying })
}

/** What every store in a bucket works with. */
export async function openS3Parts(
  location: S3Location,
  options: S3StoreOptions,
  { clock, report, policy = {} }: S3StoreContext,
): Promise<{ readonly requests: S3Requests; readonly retrying: Retrying }> {
  const { region, endpoint, retention, callTimeoutMs, maxRequests } = options
  const { bucket } = location
  const requests = await openS3Requests(location, options, clock)
  return {
    requests,
    retrying: {
      clock,
      policy: { ...usualRetryPolicy, callTimeoutMs, ...policy },
      slots: new RequestSlots({ requests: maxRequests, bytes: mostBytesUnderWay }),
      judge: (error) =>
        judgeFailure(error, {
          bucket,
          region,
          endpoint,
          isLocking: retention !== undefined,
          nowMs: clock.now(),
        }),
      causeOf: (error) => requests.withoutSecrets(error),
      warn: (message, hint) => report?.({ kind: 'warning', message, hint }),
      timeoutSetting: 's3.call-timeout',
      hasAnswered: false,
      warnedAtMs: -Infinity,
    },
  }
}

/** Opens the store in a bucket that is there, and can be listed; a bucket is never made. */
export async function createS3Store(
  location: S3Location,
  options: S3StoreOptions,
  context: S3StoreContext,
): Promise<ObjectStore> {
  await using opened = new AsyncDisposableStack()
  const store = opened.use(await openS3Store(location, options, context))
  for await (const _ of store.list('', context)) break
  if (options.retention !== undefined && (await store.protection(context)).canLock === false) {
    const { found, hint } = withoutLock(location)
    throw new OperationError('store-failed', `opening "${store.location}": ${found}`, { hint })
  }
  opened.move()
  return store
}

/** Keys are keys of the bucket, below the prefix. */
export class S3Store extends RequestStore {
  readonly retention: Retention | undefined
  readonly #requests: S3Requests

  /** Use `openS3Store`. */
  constructor(
    location: S3Location,
    requests: S3Requests,
    { retention, retrying }: { readonly retention: Retention | undefined; readonly retrying: Retrying },
  ) {
    super(
      formatS3Location(location),
      {
        get: (key, range, signal) => requests.get(key, { range }, signal),
        put: (key, { isShortLived, ...object }, signal) =>
          requests.put(
            key,
            { ...object, lock: isShortLived ? undefined : lockFromNow(retention, retrying.clock) },
            signal,
          ),
        head: (key, signal) => requests.head(key, signal),
        listPage: (prefix, after, signal) => requests.listPage(prefix, { after }, signal),
        close: () => requests.close(),
      },
      {
        retrying,
        words: { guide: 'docs/s3.md', orderHint: 'Use a store that lists in the order of the keys' },
      },
    )
    this.retention = retention
    this.#requests = requests
  }

  async delete(keys: readonly string[], options: DeleteOptions = {}): Promise<void> {
    keys.forEach(assertObjectKey)
    options.signal?.throwIfAborted()
    const distinct = [...new Set(keys)]
    for (let start = 0; start < distinct.length; start += keysPerDeletion) {
      await this.#deleteBatch(distinct.slice(start, start + keysPerDeletion), options)
    }
  }

  /** Asked anew at each call: a bucket may be told to keep versions at any time. */
  protection({ signal }: StoreCallOptions = {}): Promise<StoreProtection> {
    return this.call({
      doing: `asking what protects "${this.location}"`,
      bytes: 0,
      signal,
      attempt: (attemptSignal) => readBucketProtection(this.#requests.connection, attemptSignal),
    })
  }

  async renewRetention(keys: readonly string[], { signal }: StoreCallOptions = {}): Promise<void> {
    keys.forEach(assertObjectKey)
    const lock = lockFromNow(this.retention, this.retrying.clock)
    if (lock === undefined) return
    for (const key of keys) {
      await this.call({
        doing: `locking ${this.nameOf(key)}`,
        bytes: 0,
        signal,
        attempt: (attemptSignal) => this.#requests.lock(key, lock, attemptSignal),
      })
    }
  }

  #deleteBatch(keys: readonly string[], { signal, onKept }: DeleteOptions): Promise<void> {
    let left = keys
    return this.call({
      doing: `deleting ${keys.length === 1 ? this.nameOf(keys[0] ?? '') : `${keys.length} objects of "${this.location}"`}`,
      bytes: 0,
      signal,
      attempt: async (attemptSignal) => {
        const { kept, versions } = await this.#requests.delete(left, attemptSignal)
        for (const key of versions) onKept?.({ key, reason: 'version' })
        const still = onKept === undefined ? kept : kept.filter((one) => !isForbidden(one))
        for (const { key } of kept.filter(isForbidden)) onKept?.({ key, reason: 'forbidden' })
        left = still.map(({ key }) => key)
        const [first] = still
        if (first !== undefined) throw this.#keptFault(first, still.length)
      },
    })
  }

  /** What the store does not want to delete now, or ever. */
  #keptFault({ key, reason }: KeptKey, count: number): Error {
    const what = `${count} of the objects are still there, the first is "${key}"`
    if (reason !== 'AccessDenied') return new AnswerFault(`${what} (${reason})`)
    return new OperationError(
      'store-failed',
      `deleting objects of "${this.location}": ${what}: the store does not allow it (AccessDenied)`,
      {
        hint: 'Allow the deletion (docs/s3.md), or wait until the retention of the objects ends.',
      },
    )
  }
}

const isForbidden = ({ reason }: KeptKey): boolean => reason === 'AccessDenied'

function lockFromNow(
  retention: Retention | undefined,
  clock: Pick<RunContext['clock'], 'now'>,
): ObjectLock | undefined {
  return retention && { mode: retention.mode, untilMs: clock.now() + retention.days * dayMs }
}
