import assert from 'node:assert/strict'
import { constants } from 'node:fs'
import { open, unlink } from 'node:fs/promises'
import type { RunContext } from '../../domain/run-context.ts'
import { OperationError } from '../../domain/operation-error.ts'
import {
  entryOf,
  hasSystemCode,
  makeFolderDurably,
  publishInFolder,
  type DurableWrite,
} from '../../platform/durable-file.ts'
import { freshName } from '../../platform/random.ts'
import { assertKeyPrefix, assertObjectKey } from '../object-key.ts'
import {
  maxObjectSizeBytes,
  type ByteRange,
  type ListedObject,
  type ObjectAttributes,
  type ObjectStore,
  type StoreCallOptions,
} from '../object-store.ts'
import { DurableFolders, openChain, openSubfolder, statObject, type FolderChain } from './folder-chain.ts'
import { listFolder } from './list-objects.ts'
import { readObjectFile } from './read-object-file.ts'
import { storeFailure } from './store-failure.ts'
import { checkFreeForStore, checkLayout, marker, markerName, temporaryFolderName } from './store-root.ts'
import { fillReserve, releaseReserve } from './space-reserve.ts'
import { removeStaleTemporaries } from './stale-temporaries.ts'

export interface PosixStoreOptions {
  /** 'write' also removes temporary files that were left behind more than a day ago. */
  readonly access: 'read' | 'write'
  /** Lets the group read: modes 0750 and 0640 instead of 0700 and 0600. Default false. */
  readonly isGroupReadable?: boolean
  /** For whoever frees space: on a full disk, gives up the space that the store keeps for that. Default false. */
  readonly usesReserve?: boolean
}

type Context = Pick<RunContext, 'signal' | 'clock'>

/** Each attempt fails only when somebody removed the folder, empty at that moment, that the object goes into. */
const maxPutAttempts = 20

/**
 * Makes the directory `path` a store, with the directories above it that are missing, and opens it. Does nothing to a
 * store that is one; finishes a creation that was interrupted. Throws `repository-foreign` when anything else is there.
 */
export async function createPosixStore(
  path: string,
  options: PosixStoreOptions,
  context: Context,
): Promise<ObjectStore> {
  const modes = modesFor(options)
  try {
    context.signal.throwIfAborted()
    await makeFolderDurably(path, modes.folder)
    await checkFreeForStore(path)
    await makeFolderDurably(`${path}/${temporaryFolderName}`, modes.folder)
    // Dying here leaves a directory that is no store yet; the next creation goes on from here.
    await markRoot(path, modes.file)
    await fillReserve(path, modes)
  } catch (error) {
    throw storeFailure(`creating a store in "${path}"`, error)
  }
  return openPosixStore(path, options, context)
}

/**
 * Opens the store in the directory `path`, which `createPosixStore` made. Throws `store-unreachable` when it is not there,
 * `format-newer` when its layout is unknown.
 */
export async function openPosixStore(
  path: string,
  options: PosixStoreOptions,
  context: Context,
): Promise<ObjectStore> {
  try {
    context.signal.throwIfAborted()
    await checkLayout(path)
    if (options.access === 'write') await removeStaleTemporaries(path, context)
  } catch (error) {
    throw storeFailure(`opening the store "${path}"`, error)
  }
  return new PosixStore(path, options)
}

/** Keys are paths below the root. It holds nothing open between calls, so the disk can be unmounted. */
class PosixStore implements ObjectStore {
  readonly location: string
  readonly #path: string
  readonly #modes: Modes
  readonly #access: 'read' | 'write'
  readonly #usesReserve: boolean
  readonly #durableFolders = new DurableFolders()

  constructor(path: string, options: PosixStoreOptions) {
    this.location = `posix:${path}`
    this.#path = path
    this.#modes = modesFor(options)
    this.#access = options.access
    this.#usesReserve = options.usesReserve === true
  }

  async get(
    key: string,
    range?: ByteRange,
    { signal }: StoreCallOptions = {},
  ): Promise<Uint8Array<ArrayBuffer> | undefined> {
    assertObjectKey(key)
    signal?.throwIfAborted()
    const what = this.#nameOf(key)
    return this.#explain(`reading ${what}`, async () => {
      const { folders, name } = splitKey(key)
      await using chain = await openChain(this.#path, folders)
      if (!chain.isComplete) return undefined
      return await readObjectFile(chain.last, name, { range, signal, what })
    })
  }

  async head(key: string, { signal }: StoreCallOptions = {}): Promise<ObjectAttributes | undefined> {
    assertObjectKey(key)
    signal?.throwIfAborted()
    return this.#explain(`looking for ${this.#nameOf(key)}`, async () => {
      const { folders, name } = splitKey(key)
      await using chain = await openChain(this.#path, folders)
      return chain.isComplete ? await statObject(chain.last, name) : undefined
    })
  }

  async putIfAbsent(
    key: string,
    bytes: Uint8Array,
    { signal }: StoreCallOptions = {},
  ): Promise<'created' | 'exists'> {
    assertObjectKey(key)
    assert.ok(bytes.length <= maxObjectSizeBytes, `object "${key}" has ${bytes.length} bytes`)
    assert.equal(this.#access, 'write')
    signal?.throwIfAborted()
    return this.#explain(`storing ${this.#nameOf(key)}`, async () => {
      try {
        return await this.#put(key, bytes, signal)
      } catch (error) {
        if (!this.#usesReserve || !hasSystemCode(error, 'ENOSPC', 'EDQUOT')) throw error
        if (!(await releaseReserve(this.#path))) throw error
        return this.#putAgain(key, bytes, signal)
      }
    })
  }

  async *list(prefix: string, { signal }: StoreCallOptions = {}): AsyncGenerator<ListedObject> {
    assertKeyPrefix(prefix)
    signal?.throwIfAborted()
    const { folders, name: beginning } = splitKey(prefix)
    try {
      await using chain = await openChain(this.#path, folders)
      if (!chain.isComplete) return
      const base = prefix.slice(0, prefix.length - beginning.length)
      yield* listFolder({ folder: chain.last, base, beginning, signal })
    } catch (error) {
      throw storeFailure(`listing "${prefix}" of "${this.location}"`, error)
    }
  }

  async delete(keys: readonly string[], { signal }: StoreCallOptions = {}): Promise<void> {
    keys.forEach(assertObjectKey)
    assert.equal(this.#access, 'write')
    signal?.throwIfAborted()
    for (const [path, names] of groupByFolder(keys)) {
      await this.#explain(`deleting objects in "${path}" of "${this.location}"`, async () => {
        await using chain = await openChain(this.#path, path === '' ? [] : path.split('/'))
        await deleteFromFolder(chain, names, signal)
      })
    }
  }

  /** Takes back what was given up, as far as there is room by now. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#usesReserve) return
    await this.#explain(`closing "${this.location}"`, () => fillReserve(this.#path, this.#modes))
  }

  async #put(key: string, bytes: Uint8Array, signal: AbortSignal | undefined): Promise<'created' | 'exists'> {
    for (let attempt = 1; attempt <= maxPutAttempts; attempt++) {
      const answer = await this.#tryToPut(splitKey(key), { bytes, mode: this.#modes.file, signal })
      if (answer !== 'folder-removed') return answer
    }
    throw new OperationError(
      'store-failed',
      `storing ${this.#nameOf(key)}: its folder was removed ${maxPutAttempts} times meanwhile`,
      { hint: 'Find out what deletes directories there; Holdfast itself removes only empty ones.' },
    )
  }

  /** The attempt before may have failed when the object had its name already: then it is ours all the same. */
  async #putAgain(
    key: string,
    bytes: Uint8Array,
    signal: AbortSignal | undefined,
  ): Promise<'created' | 'exists'> {
    const answer = await this.#put(key, bytes, signal)
    if (answer === 'created') return answer
    const stored = await this.get(key, undefined, { ...(signal && { signal }) })
    return stored !== undefined && Buffer.compare(stored, bytes) === 0 ? 'created' : answer
  }

  async #tryToPut(
    { folders, name }: SplitKey,
    write: Omit<DurableWrite, 'temporaryPath'>,
  ): Promise<'created' | 'exists' | 'folder-removed'> {
    await using chain = await openChain(this.#path, folders)
    // Before anything is created: this proves that the root can take it.
    await using temporaryFolder = await openSubfolder(chain.root, temporaryFolderName)
    if (temporaryFolder === undefined) throw withoutTemporaryFolder(this.#path)
    if (!(await chain.create(this.#modes.folder))) return 'folder-removed'
    await chain.makeDurable(this.#durableFolders)
    // Dying here leaves empty folders at most.
    try {
      const temporaryPath = entryOf(temporaryFolder, freshName())
      return await publishInFolder(chain.last, name, { ...write, temporaryPath })
    } catch (error) {
      if (hasSystemCode(error, 'ENOENT')) return 'folder-removed'
      throw error
    }
  }

  #nameOf(key: string): string {
    return `object "${key}" of "${this.location}"`
  }

  async #explain<T>(doing: string, act: () => Promise<T>): Promise<T> {
    try {
      return await act()
    } catch (error) {
      throw storeFailure(doing, error)
    }
  }
}

interface Modes {
  readonly folder: number
  readonly file: number
}

function modesFor({ isGroupReadable = false }: PosixStoreOptions): Modes {
  return isGroupReadable ? { folder: 0o750, file: 0o640 } : { folder: 0o700, file: 0o600 }
}

interface SplitKey {
  readonly folders: readonly string[]
  readonly name: string
}

function splitKey(key: string): SplitKey {
  const segments = key.split('/')
  return { folders: segments.slice(0, -1), name: segments.at(-1) ?? '' }
}

function groupByFolder(keys: readonly string[]): Map<string, string[]> {
  const groups = new Map<string, string[]>()
  for (const key of keys) {
    const { folders, name } = splitKey(key)
    const path = folders.join('/')
    const names = groups.get(path)
    if (names === undefined) groups.set(path, [name])
    else names.push(name)
  }
  return groups
}

/** Also syncs when nothing was there to delete: somebody else's deletion may not be durable yet. */
async function deleteFromFolder(
  chain: FolderChain,
  names: readonly string[],
  signal: AbortSignal | undefined,
): Promise<void> {
  for (const name of chain.isComplete ? names : []) {
    signal?.throwIfAborted()
    await removeIfPresent(entryOf(chain.last, name))
  }
  // Dying here leaves deleted objects that a power loss may bring back, whole: deleting them again is harmless.
  await chain.last.sync()
  signal?.throwIfAborted()
  if (chain.isComplete) await chain.prune()
}

/** A folder of this name is no object: EISDIR says so. */
async function removeIfPresent(path: string): Promise<void> {
  try {
    await unlink(path)
  } catch (error) {
    if (!hasSystemCode(error, 'ENOENT', 'EISDIR')) throw error
  }
}

/** A root that has its marker is only synced: on a full disk, creating a store that exists is no error. */
async function markRoot(path: string, mode: number): Promise<void> {
  await using root = await open(path, constants.O_RDONLY | constants.O_DIRECTORY)
  if ((await statObject(root, markerName)) !== undefined) {
    await root.sync()
    return
  }
  // In the folder where objects' temporary files are too: beside the marker, a left-over one would look foreign.
  const temporaryPath = entryOf(root, `${temporaryFolderName}/${freshName()}`)
  const bytes = new TextEncoder().encode(marker)
  await publishInFolder(root, markerName, { bytes, mode, temporaryPath })
}

function withoutTemporaryFolder(path: string): OperationError {
  return new OperationError(
    'store-failed',
    `writing to the store "${path}": expected its folder "${temporaryFolderName}", found none`,
    {
      hint: `Create the empty directory "${path}/${temporaryFolderName}", owned by the user that runs Holdfast.`,
    },
  )
}
