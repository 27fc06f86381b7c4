import { OperationError } from '../../src/domain/operation-error.ts'
import type { Clock } from '../../src/domain/run-context.ts'
import type {
  ByteRange,
  DeleteOptions,
  KeptReason,
  ListedObject,
  ObjectAttributes,
  ObjectStore,
  PutOptions,
  StoreCallOptions,
} from '../../src/storage/object-store.ts'

type StoreOperation = 'get' | 'putIfAbsent' | 'list' | 'delete' | 'head'

/** One call that reached the faulty store, in the order of their beginning. */
interface StoreCall {
  readonly operation: StoreOperation
  /** The key, the prefix of a listing, or the keys of a deletion joined by a space. */
  readonly subject: string
  /** What a fault did to it; undefined: passed on as it was. */
  readonly fault: Fault['kind'] | undefined
}

/** Which calls a fault strikes. What is left out does not matter. */
interface Strike {
  readonly operation?: StoreOperation
  /** Part of the key or prefix. */
  readonly subject?: string
  /** The n-th call, from 1, that the other conditions fit, counted from when the fault was planned. Left out: each. */
  readonly call?: number
}

export type Fault = { readonly at?: Strike } & (
  | {
      readonly kind: 'fail'
      readonly error: Error
      /** 'after': what was asked for has happened and only the answer is lost. */
      readonly when: 'before' | 'after'
    }
  /** Answers a get with one bit turned over; the bit counts from the answer's start. */
  | { readonly kind: 'flip-bit'; readonly bitIndex: number }
  /** Answers a get with only the first bytes. */
  | { readonly kind: 'short-read'; readonly keepBytes: number }
  /** Answers a get or head with what another key has. */
  | { readonly kind: 'wrong-object'; readonly key: string }
  /** Says 'created' and stores nothing. */
  | { readonly kind: 'lost-write' }
  /** A listing that is behind: leaves keys out, and shows objects that are gone. */
  | {
      readonly kind: 'stale-list'
      readonly hidden?: readonly string[]
      readonly shown?: readonly ListedObject[]
    }
  /** A deletion of which the store keeps the keys that `subject` is a part of. */
  | { readonly kind: 'keep'; readonly reason: KeptReason }
  /** Waits before passing the call on. */
  | { readonly kind: 'delay'; readonly ms: number; readonly clock: Clock }
)

interface Call {
  readonly operation: StoreOperation
  readonly subject: string
  readonly options: StoreCallOptions | undefined
}

type KindOf<K extends Fault['kind']> = Extract<Fault, { kind: K }>

const neverAborted = new AbortController().signal

/** A store in front of another one that breaks the port's promises according to a plan, and keeps a log of the calls. */
export class FaultyStore implements ObjectStore {
  readonly location: string
  readonly calls: StoreCall[] = []
  readonly #inner: ObjectStore
  #planned: { readonly fault: Fault; count: number }[] = []

  constructor(inner: ObjectStore, faults: readonly Fault[] = []) {
    this.#inner = inner
    this.location = inner.location
    this.plan(...faults)
  }

  /** Adds faults; of those that fit a call, the one planned first strikes. */
  plan(...faults: readonly Fault[]): void {
    this.#planned.push(...faults.map((fault) => ({ fault, count: 0 })))
  }

  /** Forgets all faults; the log stays. */
  heal(): void {
    this.#planned = []
  }

  get(
    key: string,
    range?: ByteRange,
    options?: StoreCallOptions,
  ): Promise<Uint8Array<ArrayBuffer> | undefined> {
    return this.#call({ operation: 'get', subject: key, options }, async (fault) => {
      const asked = fault?.kind === 'wrong-object' ? fault.key : key
      const bytes = await this.#inner.get(asked, range, options)
      return bytes && distort(bytes, fault)
    })
  }

  putIfAbsent(key: string, bytes: Uint8Array, options?: PutOptions): Promise<'created' | 'exists'> {
    return this.#call({ operation: 'putIfAbsent', subject: key, options }, async (fault) =>
      fault?.kind === 'lost-write' ? 'created' : this.#inner.putIfAbsent(key, bytes, options),
    )
  }

  async *list(prefix: string, options?: StoreCallOptions): AsyncGenerator<ListedObject> {
    const objects = await this.#call({ operation: 'list', subject: prefix, options }, async (fault) => {
      const found: ListedObject[] = []
      for await (const object of this.#inner.list(prefix, options)) found.push(object)
      return fault?.kind === 'stale-list' ? makeStale(found, prefix, fault) : found
    })
    for (const object of objects) {
      options?.signal?.throwIfAborted()
      yield object
    }
  }

  delete(keys: readonly string[], options?: DeleteOptions): Promise<void> {
    return this.#call({ operation: 'delete', subject: keys.join(' '), options }, async (fault) => {
      if (fault?.kind !== 'keep') return this.#inner.delete(keys, options)
      const isStruck = (key: string): boolean => key.includes(fault.at?.subject ?? '')
      const isGone = (key: string): boolean => fault.reason === 'version' || !isStruck(key)
      await this.#inner.delete(keys.filter(isGone), options)
      if (options?.onKept === undefined && !keys.every(isGone))
        throw new OperationError('store-failed', 'deleting objects: some are still there')
      for (const key of keys.filter(isStruck)) options?.onKept?.({ key, reason: fault.reason })
    })
  }

  head(key: string, options?: StoreCallOptions): Promise<ObjectAttributes | undefined> {
    return this.#call({ operation: 'head', subject: key, options }, (fault) =>
      this.#inner.head(fault?.kind === 'wrong-object' ? fault.key : key, options),
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#inner[Symbol.asyncDispose]()
  }

  async #call<T>(call: Call, passOn: (fault: Fault | undefined) => Promise<T>): Promise<T> {
    const fault = this.#faultFor(call)
    this.calls.push({ operation: call.operation, subject: call.subject, fault: fault?.kind })
    if (fault?.kind === 'delay') await fault.clock.sleep(fault.ms, call.options?.signal ?? neverAborted)
    if (fault?.kind !== 'fail') return passOn(fault)
    if (fault.when === 'after') await passOn(fault)
    throw fault.error
  }

  /** Every fault counts the calls that it fits, also when another one strikes. */
  #faultFor({ operation, subject }: Call): Fault | undefined {
    const fitting = this.#planned.filter(
      ({ fault: { at = {} } }) =>
        (at.operation === undefined || at.operation === operation) && subject.includes(at.subject ?? ''),
    )
    for (const planned of fitting) planned.count++
    return fitting.find(({ fault, count }) => fault.at?.call === undefined || fault.at.call === count)?.fault
  }
}

function distort(bytes: Uint8Array<ArrayBuffer>, fault: Fault | undefined): Uint8Array<ArrayBuffer> {
  if (fault?.kind === 'short-read') return bytes.slice(0, fault.keepBytes)
  if (fault?.kind !== 'flip-bit') return bytes
  const distorted = bytes.slice()
  const index = Math.floor(fault.bitIndex / 8)
  distorted[index] = (bytes[index] ?? 0) ^ (1 << (fault.bitIndex % 8))
  return distorted
}

function makeStale(
  found: readonly ListedObject[],
  prefix: string,
  { hidden = [], shown = [] }: KindOf<'stale-list'>,
): readonly ListedObject[] {
  return [...found, ...shown.filter(({ key }) => key.startsWith(prefix))]
    .filter(({ key }) => !hidden.includes(key))
    .toSorted((one, other) => (one.key < other.key ? -1 : 1))
}
