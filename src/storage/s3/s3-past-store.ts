import { OperationError } from '../../domain/operation-error.ts'
import { formatInstant, instantFromMs } from '../../domain/target-time.ts'
import { resolveRange } from '../byte-range.ts'
import { callWithRetry, type Retrying } from '../call-with-retry.ts'
import { assertKeyPrefix, assertObjectKey } from '../object-key.ts'
import type {
  ByteRange,
  ListedObject,
  ObjectAttributes,
  ObjectStore,
  StoreCallOptions,
} from '../object-store.ts'
import { AnswerFault } from '../answer-fault.ts'
import { readVersioning } from './bucket-protection.ts'
import { chooseVersions } from './choose-versions.ts'
import { formatS3Location, type S3Location, type S3StoreOptions } from './s3-options.ts'
import type { S3Requests } from './s3-requests.ts'
import { openS3Parts, type S3StoreContext } from './s3-store.ts'
import { listVersionPage, type KeyVersion, type VersionPosition } from './version-requests.ts'

const versionsPerPage = 1000
/** Of one key there are few, and those of longer keys come after them. */
const versionsPerLookUp = 20
/** Whoever reads a pack asks for many parts of it: so many keys are not looked up again. */
const mostRemembered = 4096

/**
 * Opens a bucket that keeps versions as it was at a moment. Throws `usage` for one that never kept any. What was deleted or
 * overwritten since is there; what came since is not.
 */
export async function openS3PastStore(
  location: S3Location,
  { asOfMs, ...options }: S3StoreOptions & { readonly asOfMs: number },
  context: S3StoreContext,
): Promise<ObjectStore> {
  await using opened = new AsyncDisposableStack()
  const { requests, retrying } = await openS3Parts(location, options, context)
  const store = opened.use(new S3PastStore({ location, asOfMs }, requests, retrying))
  await store.requireVersions(context.signal)
  opened.move()
  return store
}

/** Which version a key had then never changes, so what was looked up once is remembered. */
class S3PastStore implements ObjectStore {
  readonly location: string
  readonly asOfMs: number
  readonly #bucket: string
  readonly #requests: S3Requests
  readonly #retrying: Retrying
  readonly #remembered = new Map<string, KeyVersion>()

  constructor(
    { location, asOfMs }: { readonly location: S3Location; readonly asOfMs: number },
    requests: S3Requests,
    retrying: Retrying,
  ) {
    this.location = `${formatS3Location(location)} as of ${formatInstant(instantFromMs(asOfMs))}`
    this.asOfMs = asOfMs
    this.#bucket = location.bucket
    this.#requests = requests
    this.#retrying = retrying
  }

  async requireVersions(signal: AbortSignal | undefined): Promise<void> {
    const versioning = await this.#call({
      doing: `opening "${this.location}"`,
      bytes: 0,
      signal,
      attempt: (attemptSignal) => readVersioning(this.#requests.connection, attemptSignal),
    })
    if (versioning !== 'never') return
    throw new OperationError(
      'usage',
      `opening "${this.location}": expected a bucket that keeps versions, found that "${this.#bucket}" keeps none`,
      {
        hint: 'What is deleted there cannot be brought back; leave out --repo-as-of to read what is there now.',
      },
    )
  }

  async get(
    key: string,
    range?: ByteRange,
    { signal }: StoreCallOptions = {},
  ): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const version = await this.#find(key, signal)
    if (version === undefined) return undefined
    const what = this.#nameOf(key)
    const asked = resolveRange(range, version.sizeBytes, what)
    if (asked.length === 0) return new Uint8Array(0)
    return this.#call({
      doing: `reading ${what}`,
      bytes: asked.length,
      signal,
      attempt: async (attemptSignal) => {
        const { versionId } = version
        const answer = await this.#requests.get(key, { range: range && asked, versionId }, attemptSignal)
        if (answer === 'absent') throw this.#gone(key)
        if (answer === 'past-end' || answer.sizeBytes !== version.sizeBytes)
          throw new AnswerFault('the store sent another version than it was asked for')
        return answer.bytes
      },
    })
  }

  async head(key: string, { signal }: StoreCallOptions = {}): Promise<ObjectAttributes | undefined> {
    const version = await this.#find(key, signal)
    return version && attributesOf(version)
  }

  async *list(prefix: string, { signal }: StoreCallOptions = {}): AsyncGenerator<ListedObject> {
    assertKeyPrefix(prefix)
    signal?.throwIfAborted()
    for await (const version of this.#versions(prefix, versionsPerPage, signal)) {
      signal?.throwIfAborted()
      yield { key: version.key, ...attributesOf(version) }
    }
  }

  putIfAbsent(key: string): Promise<never> {
    return Promise.reject(this.#readOnly(`storing ${this.#nameOf(key)}`))
  }

  delete(): Promise<never> {
    return Promise.reject(this.#readOnly(`deleting objects of "${this.location}"`))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#requests.close()
  }

  async #find(key: string, signal: AbortSignal | undefined): Promise<KeyVersion | undefined> {
    assertObjectKey(key)
    signal?.throwIfAborted()
    const known = this.#remembered.get(key)
    if (known !== undefined) return known
    // The key itself is the first of all that begin with it.
    for await (const version of this.#versions(key, versionsPerLookUp, signal)) {
      if (version.key !== key) return undefined
      this.#remember(version)
      return version
    }
    return undefined
  }

  #remember(version: KeyVersion): void {
    const [oldest] = this.#remembered.keys()
    if (oldest !== undefined && this.#remembered.size >= mostRemembered) this.#remembered.delete(oldest)
    this.#remembered.set(version.key, version)
  }

  async *#versions(
    prefix: string,
    limit: number,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<KeyVersion> {
    const doing = `listing versions of "${prefix}" of "${this.location}"`
    const askPage = (after: VersionPosition | undefined) =>
      this.#call({
        doing,
        bytes: 0,
        signal,
        attempt: (attemptSignal) =>
          listVersionPage(
            this.#requests.connection,
            { prefix, limit, ...(after && { after }) },
            attemptSignal,
          ),
      })
    try {
      yield* chooseVersions(askPage, this.asOfMs)
    } catch (error) {
      if (!(error instanceof AnswerFault)) throw error
      throw new OperationError('store-failed', `${doing}: ${error.message}`, {
        cause: error,
        hint: 'Use a store that lists in the order of the keys; docs/s3.md says what a store needs.',
      })
    }
  }

  /** It was listed: so somebody or a rule has deleted it for good. */
  #gone(key: string): OperationError {
    return new OperationError(
      'damaged',
      `reading ${this.#nameOf(key)}: this version of it is gone for good`,
      {
        hint: 'A rule of the bucket or somebody who may delete versions has deleted it; try a later moment, or another repository.',
      },
    )
  }

  #readOnly(doing: string): OperationError {
    return new OperationError('usage', `${doing}: the past can only be read`, {
      hint: 'Leave out --repo-as-of to change the repository.',
    })
  }

  #nameOf(key: string): string {
    return `object "${key}" of "${this.location}"`
  }

  #call<T>(call: Parameters<typeof callWithRetry<T>>[0]): Promise<T> {
    return callWithRetry(call, this.#retrying)
  }
}

/** Whole seconds, as a store of the present tells them. */
const attributesOf = ({ sizeBytes, modifiedAtMs }: KeyVersion): ObjectAttributes => ({
  sizeBytes,
  modifiedAtMs: Math.floor(modifiedAtMs / 1000) * 1000,
})
