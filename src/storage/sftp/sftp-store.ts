import assert from 'node:assert/strict'
import type { RunContext } from '../../domain/run-context.ts'
import { resolveRange } from '../byte-range.ts'
import { callWithRetry, usualRetryPolicy, type Retrying, type RetryPolicy } from '../call-with-retry.ts'
import { assertKeyPrefix, assertObjectKey } from '../object-key.ts'
import {
  maxObjectSizeBytes,
  type ByteRange,
  type ListedObject,
  type ObjectAttributes,
  type ObjectStore,
  type StoreCallOptions,
} from '../object-store.ts'
import { RequestSlots } from '../request-slots.ts'
import { deleteFromFolder, groupByFolder } from './delete-objects.ts'
import { listFolders, readFolderOf } from './list-folders.ts'
import { lookUp } from './look-up.ts'
import {
  checkRoot,
  createRoot,
  proveExclusiveNames,
  removeStaleTemporaries,
  type Durability,
} from './prepare-root.ts'
import { putObject, type Upload } from './put-object.ts'
import { judgeSftpError } from './sftp-fault.ts'
import { formatSftpLocation, type SftpLocation, type SftpStoreOptions } from './sftp-options.ts'
import { openSftpSession, type SftpSession } from './sftp-session.ts'
import { SharedSession } from './shared-session.ts'
import { readFileRange } from './transfer-file.ts'

/** `policy` is for tests, which have less patience. */
type Context = Pick<RunContext, 'signal' | 'clock'> &
  Partial<Pick<RunContext, 'report'>> & { readonly policy?: Partial<RetryPolicy> }

/** Of what is being sent and received, all calls together. */
const mostBytesUnderWay = 4 * maxObjectSizeBytes

/**
 * Opens the store in a directory of a server, which `createSftpStore` made. Throws `store-unreachable` when it is not there,
 * `format-newer` when its layout is unknown. Removes temporary files that were left behind more than a day ago.
 */
export async function openSftpStore(
  location: SftpLocation,
  options: SftpStoreOptions,
  context: Context,
): Promise<ObjectStore> {
  await using opened = new AsyncDisposableStack()
  const store = opened.use(new SftpStore(location, options, context))
  await store.open(context)
  opened.move()
  return store
}

/**
 * Makes the directory a store unless it is one, and opens it. Reports a warning when the server cannot make durable what is
 * stored. Throws `repository-foreign` when anything else is there.
 */
export async function createSftpStore(
  location: SftpLocation,
  options: SftpStoreOptions,
  context: Context,
): Promise<ObjectStore> {
  await using opened = new AsyncDisposableStack()
  const store = opened.use(new SftpStore(location, options, context))
  warnOf(await store.create(context), store.location, context)
  opened.move()
  return store
}

function warnOf(durability: Durability, location: string, { report }: Context): void {
  if (durability === 'synced') return
  const what = durability === 'unknown' ? 'objects' : 'the names of objects'
  report?.({
    kind: 'warning',
    message: `durability of "${location}" unknown: its server cannot be asked to write ${what} to disk`,
    hint: 'A power loss of the server may take the newest objects; docs/sftp.md says what a server needs.',
  })
}

/** Keys are paths below the root, as in a posix store. */
class SftpStore implements ObjectStore {
  readonly location: string
  readonly #root: string
  readonly #shared: SharedSession
  readonly #retrying: Retrying

  constructor(location: SftpLocation, options: SftpStoreOptions, { clock, report, policy = {} }: Context) {
    const { callTimeoutMs, maxRequests } = options
    this.location = formatSftpLocation(location)
    this.#root = location.path
    this.#shared = new SharedSession((signal) => openSftpSession(location, { clock, signal, options }))
    this.#retrying = {
      clock,
      policy: { ...usualRetryPolicy, callTimeoutMs, ...policy },
      slots: new RequestSlots({ requests: maxRequests, bytes: mostBytesUnderWay }),
      timeoutSetting: 'sftp.call-timeout',
      judge: judgeSftpError,
      causeOf: async (cause) => cause, // no message of ours or ssh2's holds a secret
      warn: (message, hint) => report?.({ kind: 'warning', message, hint }),
      hasAnswered: false,
      warnedAtMs: -Infinity,
    }
  }

  async create({ signal }: Context): Promise<Durability> {
    return this.#call(
      { doing: `creating a store in "${this.location}"`, bytes: 0, signal },
      (session, attemptSignal) => createRoot(session, this.#root, attemptSignal),
    )
  }

  async open({ signal, clock }: Context): Promise<void> {
    await this.#call(
      { doing: `opening the store "${this.location}"`, bytes: 0, signal },
      async (session, attemptSignal) => {
        await checkRoot(session, this.#root, attemptSignal)
        await proveExclusiveNames(session, this.#root, attemptSignal)
        await removeStaleTemporaries(session, this.#root, { signal: attemptSignal, clock })
      },
    )
  }

  async get(
    key: string,
    range?: ByteRange,
    { signal }: StoreCallOptions = {},
  ): Promise<Uint8Array<ArrayBuffer> | undefined> {
    assertObjectKey(key)
    const what = this.#nameOf(key)
    const bytes = range?.length ?? maxObjectSizeBytes
    return this.#call({ doing: `reading ${what}`, bytes, signal }, async (session, attemptSignal) => {
      const { object } = await lookUp(session, { root: this.#root, key }, attemptSignal)
      if (object === undefined) return undefined
      const { sizeBytes } = object
      const wanted = resolveRange(range, sizeBytes, what)
      const read = { path: `${this.#root}/${key}`, sizeBytes, range: wanted, what }
      return readFileRange(session, read, attemptSignal)
    })
  }

  async head(key: string, { signal }: StoreCallOptions = {}): Promise<ObjectAttributes | undefined> {
    assertObjectKey(key)
    const doing = `looking for ${this.#nameOf(key)}`
    return this.#call({ doing, bytes: 0, signal }, async (session, attemptSignal) => {
      const { object } = await lookUp(session, { root: this.#root, key }, attemptSignal)
      return object && { sizeBytes: object.sizeBytes, modifiedAtMs: object.modifiedAtS * 1000 }
    })
  }

  async putIfAbsent(
    key: string,
    bytes: Uint8Array,
    { signal }: StoreCallOptions = {},
  ): Promise<'created' | 'exists'> {
    assertObjectKey(key)
    assert.ok(bytes.length <= maxObjectSizeBytes, `object "${key}" has ${bytes.length} bytes`)
    const upload: Upload = {
      root: this.#root,
      key,
      bytes,
      temporaryPaths: [],
      written: undefined,
      isInDoubt: false,
      answer: undefined,
    }
    const doing = `storing ${this.#nameOf(key)}`
    try {
      return await this.#call({ doing, bytes: bytes.length, signal }, (session, attemptSignal) =>
        putObject(session, upload, attemptSignal),
      )
    } catch (error) {
      // What cannot be removed now goes after a day.
      for (const path of upload.temporaryPaths) this.#shared.current?.discard(path)
      throw error
    }
  }

  async *list(prefix: string, { signal }: StoreCallOptions = {}): AsyncGenerator<ListedObject> {
    assertKeyPrefix(prefix)
    signal?.throwIfAborted()
    const doing = `listing "${prefix}" of "${this.location}"`
    const base = prefix.slice(0, prefix.lastIndexOf('/') + 1)
    const objects = listFolders({ base, beginning: prefix.slice(base.length) }, (listing) =>
      this.#call({ doing, bytes: 0, signal }, (session, attemptSignal) =>
        readFolderOf(session, { root: this.#root, ...listing }, attemptSignal),
      ),
    )
    for await (const object of objects) {
      signal?.throwIfAborted()
      yield object
    }
  }

  async delete(keys: readonly string[], { signal }: StoreCallOptions = {}): Promise<void> {
    keys.forEach(assertObjectKey)
    signal?.throwIfAborted()
    for (const [folder, group] of groupByFolder([...new Set(keys)])) {
      const folders = folder === '' ? [] : folder.split('/')
      const names = group.map((key) => key.slice(key.lastIndexOf('/') + 1))
      const doing = `deleting objects in "${folder}" of "${this.location}"`
      await this.#call({ doing, bytes: 0, signal }, (session, attemptSignal) =>
        deleteFromFolder(session, { root: this.#root, folders, names }, attemptSignal),
      )
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#shared.end()
  }

  #nameOf(key: string): string {
    return `object "${key}" of "${this.location}"`
  }

  #call<T>(
    call: { readonly doing: string; readonly bytes: number; readonly signal: AbortSignal | undefined },
    attempt: (session: SftpSession, signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    return callWithRetry(
      { ...call, attempt: async (signal) => attempt(await this.#shared.get(signal), signal) },
      this.#retrying,
    )
  }
}
