import { equalBytes } from '../codec/digest.ts'
import { isOperationError, OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { randomBytes } from '../platform/random.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import { keySlotKind, openKeySlot, sealKeySlot, type Unlocker } from './key-slot.ts'
import { keySlotKey, keySlotPrefix, repositoryHeaderKey } from './object-keys.ts'
import { decodeRepositoryHeader } from './repository-header.ts'

/** One slot of a repository, and what the given secret says to it. */
export interface KeySlot {
  readonly id: string
  /** What opens it, as it says itself; undefined when it cannot be read. */
  readonly kind: Unlocker['kind'] | undefined
  /** True: the given secret opens it. */
  readonly isOpened: boolean
  /** Why it cannot be read. */
  readonly problem: OperationError | undefined
}

/** The slots of a repository and the root key that one of them gave. Never leaves the process. */
export interface KeyRing {
  readonly store: ObjectStore
  readonly headerBytes: Uint8Array
  readonly rootKey: Uint8Array
  readonly slots: readonly KeySlot[]
}

interface Unlocking {
  readonly store: ObjectStore
  readonly headerBytes: Uint8Array
  readonly unlocker: Unlocker
}

/** A slot that vanished between listing and reading was replaced: so often the slots are listed again. */
const mostListings = 5

export const freshKeySlotKey = (): string => keySlotKey(Buffer.from(randomBytes(8)).toString('hex'))

/** A slot as it is stored; undefined when it was listed and is not there. */
type StoredSlot = readonly [key: string, bytes: Uint8Array | undefined]

/** All slots of a repository, which are few and small. */
export async function readSlots(store: ObjectStore, context: RunContext): Promise<readonly StoredSlot[]> {
  const slots: Promise<StoredSlot>[] = []
  for await (const { key } of store.list(keySlotPrefix, context)) {
    slots.push(store.get(key, undefined, context).then((bytes) => [key, bytes] as const))
  }
  return Promise.all(slots)
}

/**
 * The root key, out of the first slot that the secret opens. A slot that cannot be read does not stand in the way of one
 * that fits: each works alone. Throws `key-wrong`, or what is wrong with the slots when none can be read. `slots` were
 * read right before.
 */
export async function unlock(
  unlocking: Unlocking,
  slots: readonly StoredSlot[] | undefined,
  context: RunContext,
): Promise<Uint8Array> {
  let stored = slots ?? (await readSlots(unlocking.store, context))
  for (let listing = 1; ; listing += 1) {
    if (listing > 1) stored = await readSlots(unlocking.store, context)
    const tried: TriedSlot[] = []
    for await (const slot of trySlots(unlocking, stored)) {
      if (slot.rootKey !== undefined) return slot.rootKey
      tried.push(slot)
    }
    if (listing === mostListings || !tried.some(({ isGone }) => isGone)) throw noSlotFits(unlocking, tried)
  }
}

/**
 * Reads all slots of a sealed repository. Throws `usage` for one without encryption, and `key-wrong` when the secret opens
 * none of them.
 */
export async function openKeyRing(
  store: ObjectStore,
  unlocker: Unlocker,
  context: RunContext,
): Promise<KeyRing> {
  const headerBytes = await readSealedHeader(store, context)
  const unlocking = { store, headerBytes, unlocker }
  const tried: TriedSlot[] = []
  for await (const slot of trySlots(unlocking, await readSlots(store, context)))
    if (!slot.isGone) tried.push(slot)
  const rootKey = tried.find((slot) => slot.rootKey !== undefined)?.rootKey
  if (rootKey === undefined) throw noSlotFits(unlocking, tried)
  const slots = tried.map(({ key, kind, rootKey: opened, problem }) => ({
    id: key.slice(keySlotPrefix.length),
    kind,
    isOpened: opened !== undefined,
    problem,
  }))
  return { store, headerBytes, rootKey, slots }
}

/** Adds a slot for a secret, and gives its id once it was read back and opened. Throws `store-failed` when it was not. */
export async function addKeySlot(
  { store, headerBytes, rootKey }: KeyRing,
  unlocker: Unlocker,
  context: RunContext,
): Promise<string> {
  const key = freshKeySlotKey()
  await store.putIfAbsent(key, await sealKeySlot(rootKey, unlocker, headerBytes), context)
  const stored = await store.get(key, undefined, context)
  const opened = stored && (await openKeySlot(stored, unlocker, { headerBytes, key }))
  if (opened === undefined || !equalBytes(opened, rootKey)) {
    throw new OperationError(
      'store-failed',
      `adding the key slot "${key}": expected to open it with its secret, found ${stored === undefined ? 'nothing' : 'other bytes'}`,
      {
        hint: 'Nothing was removed. Unless somebody else changes the keys right now, find out what is wrong with the store.',
      },
    )
  }
  return key.slice(keySlotPrefix.length)
}

/**
 * Adds a slot for a secret, proves that it opens, and then removes the doomed ones. Gives the new slot's id.
 *
 * There is a slot that opens at any moment, however many do this at once and wherever they are killed: dying before the
 * removal leaves one slot more; and everybody removes only what was listed before the own slot was added, so nobody ever
 * removes the slot that was added last.
 */
export async function replaceKeySlots(
  ring: KeyRing,
  { unlocker, doomed }: { readonly unlocker: Unlocker; readonly doomed: readonly KeySlot[] },
  context: RunContext,
): Promise<string> {
  const added = await addKeySlot(ring, unlocker, context)
  // Dying here leaves the doomed slots beside the new one: all of them open.
  context.signal.throwIfAborted()
  await ring.store.delete(
    doomed.map(({ id }) => keySlotKey(id)),
    context,
  )
  return added
}

/**
 * Which slots go when one is removed: that one, and those of the secret in use, for which a new one is made. Throws
 * `not-found`, and `key-in-use` when no other slot would open with the secret in use.
 */
export function planSlotRemoval({ slots, store }: KeyRing, id: string): readonly KeySlot[] {
  const removed = slots.find((slot) => slot.id === id)
  if (removed === undefined) {
    throw new OperationError(
      'not-found',
      `removing the key slot "${id}" of "${store.location}": there is no such slot`,
      { hint: 'Run "holdfast repo keys" to see the slots.' },
    )
  }
  const own = slots.filter((slot) => slot.isOpened && slot !== removed)
  if (own.length === 0) {
    throw new OperationError(
      'key-in-use',
      `removing the key slot "${id}" of "${store.location}": it is the only one that the configured secret opens`,
      {
        hint: 'Name another secret of the repository in the configuration first, or use "holdfast repo rekey".',
      },
    )
  }
  return [removed, ...own]
}

interface TriedSlot {
  readonly key: string
  readonly kind: Unlocker['kind'] | undefined
  readonly rootKey?: Uint8Array | undefined
  readonly problem?: OperationError | undefined
  /** It was listed, and is not there. */
  readonly isGone: boolean
}

async function* trySlots(unlocking: Unlocking, slots: readonly StoredSlot[]): AsyncGenerator<TriedSlot> {
  for (const [key, bytes] of slots) {
    yield bytes === undefined
      ? { key, kind: undefined, isGone: true }
      : { key, isGone: false, ...(await trySlot(bytes, key, unlocking)) }
  }
}

async function trySlot(
  bytes: Uint8Array,
  key: string,
  { unlocker, headerBytes }: Unlocking,
): Promise<Pick<TriedSlot, 'kind' | 'rootKey' | 'problem'>> {
  try {
    return {
      kind: keySlotKind(bytes, key),
      rootKey: await openKeySlot(bytes, unlocker, { headerBytes, key }),
    }
  } catch (error) {
    // A key file that is too short is the operator's error, not the slot's.
    if (isOperationError(error, 'damaged') || isOperationError(error, 'format-newer'))
      return { kind: undefined, problem: error }
    throw error
  }
}

function noSlotFits({ store, unlocker }: Unlocking, tried: readonly TriedSlot[]): OperationError {
  const unreadable = tried.find(({ problem }) => problem !== undefined)?.problem
  if (unreadable !== undefined && tried.every(({ problem }) => problem !== undefined)) return unreadable
  const secret = unlocker.kind === 'passphrase' ? 'passphrase' : 'key file'
  return new OperationError(
    'key-wrong',
    `opening the repository "${store.location}": the configured ${secret} is not one of its keys`,
    {
      hint: 'Check that the key belongs to this repository; nothing was changed.',
      cause: unreadable,
    },
  )
}

async function readSealedHeader(store: ObjectStore, context: RunContext): Promise<Uint8Array> {
  const headerBytes = await store.get(repositoryHeaderKey, undefined, context)
  if (headerBytes === undefined) {
    throw new OperationError(
      'repository-missing',
      `reading the keys of the repository "${store.location}": expected a repository, found no header`,
      { hint: 'Check the location (is the disk mounted?), or create the repository with "holdfast init".' },
    )
  }
  if (decodeRepositoryHeader(headerBytes, store.location).method === 'none') {
    throw new OperationError(
      'usage',
      `reading the keys of the repository "${store.location}": it is not encrypted, so it has no keys`,
      { hint: 'Only a new repository can be encrypted: create one with "holdfast init".' },
    )
  }
  return headerBytes
}
