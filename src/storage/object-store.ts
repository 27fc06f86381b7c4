/** No object is larger: it is built in memory and put at once, and whoever reads it need not be afraid of its size. */
export const maxObjectSizeBytes = 64 * 1024 * 1024

/** A part of an object. Both are whole numbers, not negative; a length of 0 is allowed. */
export interface ByteRange {
  readonly offset: number
  readonly length: number
}

/** What a store knows of an object without reading it. */
export interface ObjectAttributes {
  readonly sizeBytes: number
  /** When it was stored, by the store's clock: compare it with others of the same store, or with a generous margin. */
  readonly modifiedAtMs: number
}

/** One object of a listing. */
export interface ListedObject extends ObjectAttributes {
  readonly key: string
}

export interface StoreCallOptions {
  /**
   * Ends the call with the signal's reason. Nothing changes after that, except that temporary files are removed; what the
   * call had done by then stays done.
   */
  readonly signal?: AbortSignal | undefined
}

export interface PutOptions extends StoreCallOptions {
  /**
   * We delete it ourselves before long: a store with retention does not lock it. Stores without retention take no notice.
   * Default: false.
   */
  readonly isShortLived?: boolean | undefined
}

/**
 * Why a store keeps the bytes of an object that was to be deleted. `version`: the object is gone, and the store keeps what it
 * was. `retained`: the object is there until its retention ends. `forbidden`: it is there, and the credentials may not
 * delete it.
 */
export type KeptReason = 'version' | 'retained' | 'forbidden'

export interface KeptObject {
  readonly key: string
  readonly reason: KeptReason
}

export interface DeleteOptions extends StoreCallOptions {
  /** Told of each object whose bytes the store keeps. Left out: an object that is still there is a failure of the call. */
  readonly onKept?: ((kept: KeptObject) => void) | undefined
}

/** How long a store keeps every new object from being deleted or changed, by whomever. */
export interface Retention {
  /** `governance`: whoever has a permission of its own may lift it. `compliance`: nobody may. */
  readonly mode: 'governance' | 'compliance'
  readonly days: number
}

/** What a store does by itself for what it holds. Undefined: that is not known, such as without the permission to ask. */
export interface StoreProtection {
  /** Whether what is deleted or overwritten stays as a version for a while. */
  readonly keepsVersions: boolean | undefined
  /** Whether objects can be stored with a lock. */
  readonly canLock: boolean | undefined
}

/**
 * The place where a repository lives: write-once objects under keys. Every kind of store keeps these promises, and
 * test/support/store-contract.ts checks them. docs/formats/store.md holds them for readers outside the code.
 *
 * - A key is as `isObjectKey` says; anything else is a bug. No key may be the folder of another (`a` and `a/b`): where
 *   keys are paths, that fails.
 * - **A failed answer is never "absent".** `undefined` and "not listed" mean that the store was reached and does not
 *   have the object. A store that cannot be reached, is not where it was, or refuses, throws `store-unreachable`,
 *   `store-failed`, `no-space` or `path-unsafe`.
 * - Calls may overlap, in one process and from many. After a rejected call that changes something, the change may have
 *   happened or not: calling again is always right.
 * - Objects are not checked: bytes come back as the medium gives them. Whoever stores must be able to recognise damage.
 */
export interface ObjectStore extends AsyncDisposable {
  /** Where this is, for messages and logs: a line without secrets, such as `posix:/srv/backup`. */
  readonly location: string
  /** What objects are stored with, other than short-lived ones. Left out: they can be deleted at any time. */
  readonly retention?: Retention | undefined
  /** The moment as of which the store is seen, in milliseconds since 1970. Such a view never changes, and refuses to be changed. */
  readonly asOfMs?: number | undefined

  /**
   * The object's bytes, or exactly the range of them; undefined when there is no such object. A range that goes past the
   * end throws `damaged`: whoever asked knew of more bytes than there are. The answer belongs to the caller and is alone
   * in its ArrayBuffer, so it can be transferred to a worker.
   */
  get(
    key: string,
    range?: ByteRange,
    options?: StoreCallOptions,
  ): Promise<Uint8Array<ArrayBuffer> | undefined>

  /**
   * Stores the object unless the key is taken. Of any number of racing calls exactly one is told 'created', also when it
   * had to try again and found what it had stored itself. Never overwrites, and never shows a part of an object to anybody.
   * When it resolves, the object under this key is complete and durable, whoever stored it; 'exists' says nothing about its
   * bytes. The bytes may be a view of a SharedArrayBuffer and must stay as they are until then. At most `maxObjectSizeBytes`; more is a bug.
   */
  putIfAbsent(key: string, bytes: Uint8Array, options?: PutOptions): Promise<'created' | 'exists'>

  /**
   * The objects whose keys begin with `prefix`, any beginning of a key, the empty one too; it need not end at a `/`. In
   * ascending byte order of the keys, in bounded memory. Holds everything that was completely stored before the call and
   * not deleted since; what is stored or deleted meanwhile may be in it or not. A store that is not its own master (an
   * object store's index, a network file system's cache) may lag: decide on an object by `get` or `head`.
   */
  list(prefix: string, options?: StoreCallOptions): AsyncIterable<ListedObject>

  /**
   * Deletes these objects, durably. Absent ones are fine. When it fails, some may be gone. What the store refuses to delete
   * is told to `onKept`, and the others are deleted; without `onKept` the call throws `store-failed`.
   */
  delete(keys: readonly string[], options?: DeleteOptions): Promise<void>

  /** Size and age of the object; undefined when there is no such object. */
  head(key: string, options?: StoreCallOptions): Promise<ObjectAttributes | undefined>

  /** What protects the objects. Left out by stores that protect nothing by themselves, as far as we can tell. */
  protection?(options?: StoreCallOptions): Promise<StoreProtection>

  /** Locks these objects, which are there, for as long as if they were stored now. Does nothing without `retention`. */
  renewRetention?(keys: readonly string[], options?: StoreCallOptions): Promise<void>
}
