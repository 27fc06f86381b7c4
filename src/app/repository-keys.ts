import type { RepoConfiguration } from '../config/select-configured.ts'
import { isOperationError, OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'
import type { RunContext } from '../domain/run-context.ts'
import {
  addKeySlot,
  openKeyRing,
  planSlotRemoval,
  replaceKeySlots,
  type KeyRing,
  type KeySlot,
} from '../repository/key-ring.ts'
import type { Unlocker } from '../repository/key-slot.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import { localFolderOf, openStore, parseRepositoryLocation } from '../storage/open-store.ts'
import { storeOptions } from './store-options.ts'
import { isKeyFileThere, makeKeyFile, syncSecretFile } from './key-file.ts'
import { readUnlocker } from './open-configured-repository.ts'

/** The keys of a configured repository, opened. Disposing closes its store. */
export interface OpenedKeys extends AsyncDisposable {
  readonly repo: RepoConfiguration
  readonly location: string
  readonly ring: KeyRing
  /** The secret that opened it. */
  readonly unlocker: Unlocker
}

/** A secret that is to open the repository. */
export interface NewSecret {
  readonly kind: 'key-file' | 'passphrase-file'
  /** Absolute. */
  readonly path: string
  /** A key file that is not there is made. */
  readonly isMade: boolean
}

export interface ReadSecret {
  readonly unlocker: Unlocker
  readonly made: 'created' | 'exists'
}

/**
 * Opens the keys with the configured secret. Where that opens none, and `successor` does, a rotation to it was killed
 * after the old slots had gone: then it is opened with that, so that the rotation can be completed.
 */
export async function openKeys(
  repo: RepoConfiguration,
  successor: NewSecret | undefined,
  context: RunContext,
): Promise<OpenedKeys> {
  await using opened = new AsyncDisposableStack()
  const location = parseRepositoryLocation(repo.location)
  const store = opened.use(await openStore(location, await storeOptions(repo), context))
  const unlocker = requireSealed(repo, await readUnlocker(repo))
  const keys = await openWithEither(store, { unlocker, successor }, context)
  const owned = opened.move()
  return {
    repo,
    location: store.location,
    ...keys,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

/** Throws what already forbids the use of a secret. Makes nothing. */
export async function checkSecret({ repo }: OpenedKeys, secret: NewSecret): Promise<void> {
  const path = localFolderOf(repo.location)
  if (path !== undefined && secret.path.startsWith(`${path}/`)) {
    throw new OperationError(
      'path-unsafe',
      `adding the key ${quote(secret.path)}: it would lie in its own repository`,
      { hint: 'Name another place: whoever gets the repository must not get the key with it.' },
    )
  }
  if (!secret.isMade || (await isKeyFileThere(secret.path))) await readUnlocker(filesOf(secret))
}

/** Adds a slot for a secret and gives its id: the slot was read back and opened. */
export async function addKey(
  { ring }: OpenedKeys,
  secret: NewSecret,
  context: RunContext,
): Promise<{ readonly slot: string; readonly made: ReadSecret['made'] }> {
  const { unlocker, made } = await readSecret(secret)
  return { slot: await addKeySlot(ring, unlocker, context), made }
}

export interface KeyReplacement {
  /** The slot that was asked for, or all. */
  readonly removed: readonly KeySlot[]
  /** Slots of the secret that stays: a new slot takes their place. */
  readonly renewed: readonly KeySlot[]
}

/** What the removal of a slot removes. Throws what forbids it. */
export function planKeyRemoval({ ring }: OpenedKeys, slot: string): KeyReplacement {
  const [removed, ...renewed] = planSlotRemoval(ring, slot)
  return { removed: removed === undefined ? [] : [removed], renewed }
}

/** Removes a slot, as planned. Gives the id of the new slot of the secret that stays. */
export function removeKey(
  { ring, unlocker }: OpenedKeys,
  { removed, renewed }: KeyReplacement,
  context: RunContext,
): Promise<string> {
  return replaceKeySlots(ring, { unlocker, doomed: [...removed, ...renewed] }, context)
}

/**
 * Makes a secret the only one that opens the repository. Killed anywhere, the old or the new one opens it, and it can be
 * run again.
 */
export async function rotateKeys(
  { ring }: OpenedKeys,
  secret: NewSecret,
  context: RunContext,
): Promise<{ readonly slot: string; readonly made: ReadSecret['made'] }> {
  const { unlocker, made } = await readSecret(secret)
  return { slot: await replaceKeySlots(ring, { unlocker, doomed: ring.slots }, context), made }
}

async function openWithEither(
  store: ObjectStore,
  { unlocker, successor }: { unlocker: Unlocker; successor: NewSecret | undefined },
  context: RunContext,
): Promise<Pick<OpenedKeys, 'ring' | 'unlocker'>> {
  try {
    return { ring: await openKeyRing(store, unlocker, context), unlocker }
  } catch (error) {
    if (!isOperationError(error, 'key-wrong') || successor === undefined) throw error
    const next = (await isKeyFileThere(successor.path)) ? await readUnlocker(filesOf(successor)) : undefined
    if (next === undefined) throw error
    return { ring: await openKeyRing(store, next, context), unlocker: next }
  }
}

/** The secret, after making its file where that is wanted. It is durable before anything is locked with it. */
async function readSecret(secret: NewSecret): Promise<ReadSecret> {
  const made = secret.isMade ? await makeKeyFile(secret.path) : 'exists'
  const unlocker = await readUnlocker(filesOf(secret))
  if (unlocker === undefined) throw new OperationError('usage', 'adding a key: expected a secret, found none')
  await syncSecretFile(secret.path)
  return { unlocker, made }
}

const filesOf = ({ kind, path }: NewSecret): Pick<RepoConfiguration, 'keyFile' | 'passphraseFile'> =>
  kind === 'key-file'
    ? { keyFile: path, passphraseFile: undefined }
    : { keyFile: undefined, passphraseFile: path }

function requireSealed({ name }: RepoConfiguration, unlocker: Unlocker | undefined): Unlocker {
  if (unlocker !== undefined) return unlocker
  throw new OperationError(
    'usage',
    `opening the keys of repo "${name}": it is configured without encryption`,
    {
      hint: 'A repository without encryption has no keys; a new one can be encrypted, with "holdfast init".',
    },
  )
}
