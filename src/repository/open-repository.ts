import type { SealingMethod } from '../codec/sealed-object.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { randomBytes } from '../platform/random.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import { probePrefix } from '../storage/probe-store.ts'
import { freshKeySlotKey, readSlots, unlock } from './key-ring.ts'
import { sealKeySlot, type Unlocker } from './key-slot.ts'
import { keySlotPrefix, repositoryHeaderKey } from './object-keys.ts'
import { decodeRepositoryHeader, encodeRepositoryHeader, type RepositoryHeader } from './repository-header.ts'
import { deriveRepositoryKeys, type RepositoryKeys } from './repository-keys.ts'
import { tidyAway } from './tidy-away.ts'

/** An opened repository: a store and the keys to what is in it. Whoever opened the store closes it. */
export interface Repository {
  readonly store: ObjectStore
  /** 32 hexadecimal digits. */
  readonly id: string
  readonly method: SealingMethod
  readonly createdAtMs: number
  readonly keys: RepositoryKeys
}

export interface RepositoryAccess {
  /** Needed for a sealed repository; must be absent for one without sealing. */
  readonly unlocker: Unlocker | undefined
}

/**
 * Creates a repository in an empty store; `unlocker` undefined makes one without sealing. A creation that was killed
 * leaves at most key slots without a header; the next one that succeeds removes them. Throws `repository-occupied` when the store
 * is a repository already, `repository-foreign` when it holds anything else.
 */
export async function createRepository(
  store: ObjectStore,
  { unlocker }: RepositoryAccess,
  context: RunContext,
): Promise<Repository> {
  await refuseOccupied(store, context)
  const method: SealingMethod = unlocker === undefined ? 'none' : 'aes-256-gcm'
  const header = { repositoryId: randomBytes(16), method, createdAtMs: context.clock.now() }
  const headerBytes = encodeRepositoryHeader(header)
  const rootKey = unlocker === undefined ? undefined : randomBytes(32)
  const ownSlot = freshKeySlotKey()
  const deadSlots = await listKeySlots(store, context)
  if (unlocker !== undefined && rootKey !== undefined) {
    await store.putIfAbsent(ownSlot, await sealKeySlot(rootKey, unlocker, headerBytes), context)
  }
  // Dying here leaves a slot and no header: not a repository yet, and nothing can have been sealed with its key.
  const answer = await store.putIfAbsent(repositoryHeaderKey, headerBytes, context)
  if (answer === 'exists') throw occupied(store)
  // Only whoever wrote the header may remove these: they were there before it, so they are of creations that died or
  // lost, and open nothing. Whatever was added since may be a slot of this repository.
  await tidyAway({ store }, deadSlots, context)
  return assemble(store, header, rootKey)
}

/**
 * Opens a repository. Throws `repository-missing` for an empty store (nothing is ever created by opening),
 * `repository-foreign`, `format-newer`, `key-missing` when a key is needed, `key-wrong` when it opens no slot, and
 * `key-wrong` too when a key is configured but the repository is not sealed: a sealed repository that was replaced by
 * one without sealing must not be used unnoticed.
 */
export async function openRepository(
  store: ObjectStore,
  { unlocker }: RepositoryAccess,
  context: RunContext,
): Promise<Repository> {
  // At once: a store may be far away.
  const [headerBytes, slots] = await Promise.all([
    store.get(repositoryHeaderKey, undefined, context),
    unlocker === undefined ? undefined : readSlots(store, context),
  ])
  if (headerBytes === undefined) throw await missing(store, context)
  const header = decodeRepositoryHeader(headerBytes, store.location)
  if (header.method === 'none') {
    if (unlocker === undefined) return assemble(store, header, undefined)
    throw new OperationError(
      'key-wrong',
      `opening the repository "${store.location}": expected it to be encrypted, found it without encryption`,
      {
        hint: 'Set "encryption: none" for this repository if that is what you want; otherwise find out who replaced it.',
      },
    )
  }
  if (unlocker === undefined) {
    throw new OperationError(
      'key-missing',
      `opening the repository "${store.location}": it is encrypted, no key was given`,
      {
        hint: 'Set "key-file" or "passphrase-file" for this repository, and "encryption: required".',
      },
    )
  }
  return assemble(store, header, await unlock({ store, headerBytes, unlocker }, slots, context))
}

/** True when the store holds a repository header, readable or not. */
export async function isRepository(store: ObjectStore, context: RunContext): Promise<boolean> {
  return (await store.head(repositoryHeaderKey, context)) !== undefined
}

function assemble(store: ObjectStore, header: RepositoryHeader, rootKey: Uint8Array | undefined): Repository {
  return {
    store,
    id: Buffer.from(header.repositoryId).toString('hex'),
    method: header.method,
    createdAtMs: header.createdAtMs,
    keys: deriveRepositoryKeys(header, rootKey),
  }
}

async function refuseOccupied(store: ObjectStore, context: RunContext): Promise<void> {
  if (await isRepository(store, context)) throw occupied(store)
  for await (const { key } of store.list('', context)) {
    // A killed initialization leaves slots, and objects of its probe.
    if (!key.startsWith(keySlotPrefix) && !key.startsWith(probePrefix)) throw foreign(store, key)
  }
}

async function listKeySlots(store: ObjectStore, context: RunContext): Promise<readonly string[]> {
  const slots: string[] = []
  for await (const { key } of store.list(keySlotPrefix, context)) slots.push(key)
  return slots
}

async function missing(store: ObjectStore, context: RunContext): Promise<OperationError> {
  for await (const { key } of store.list('', context)) {
    if (!key.startsWith(keySlotPrefix)) return foreign(store, key)
  }
  return new OperationError(
    'repository-missing',
    `opening the repository "${store.location}": expected a repository, found nothing`,
    {
      hint: 'Check the location (is the disk mounted?), or create the repository with "holdfast init".',
    },
  )
}

function foreign(store: ObjectStore, key: string): OperationError {
  return new OperationError(
    'repository-foreign',
    `opening the repository "${store.location}": expected a repository, found other things, such as "${key}"`,
    {
      hint: 'Name an empty place, or the place where "holdfast init" created the repository.',
    },
  )
}

function occupied(store: ObjectStore): OperationError {
  return new OperationError(
    'repository-occupied',
    `creating a repository in "${store.location}": there is one already`,
  )
}
