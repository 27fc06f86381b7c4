import assert from 'node:assert/strict'
import { constants } from 'node:fs'
import { chmod, lstat, mkdir, open, rmdir, type FileHandle } from 'node:fs/promises'
import { OperationError } from '../../domain/operation-error.ts'
import { entryOf, hasSystemCode } from '../../platform/durable-file.ts'
import type { ObjectAttributes } from '../object-store.ts'
import { openRoot } from './store-root.ts'

/**
 * The folders from the root of a store down to the one that a key is in, each held open and each opened from the one above
 * it without following symbolic links. So no link inside the root leads a read or a write out of it, not even one that
 * appears meanwhile, and a link to a disk that is not mounted is an error instead of an absent folder. The root itself may
 * be reached through links: its path is the operator's choice.
 */
export class FolderChain implements AsyncDisposable {
  readonly #names: readonly string[]
  readonly #folders: FileHandle[]

  constructor(root: FileHandle, names: readonly string[]) {
    this.#folders = [root]
    this.#names = names
  }

  /** False when folders are missing: nothing can be in them. */
  get isComplete(): boolean {
    return this.#folders.length > this.#names.length
  }

  get root(): FileHandle {
    return this.#at(0)
  }

  /** The deepest folder that exists. */
  get last(): FileHandle {
    return this.#at(this.#folders.length - 1)
  }

  /** Opens folders until one is missing. */
  async descend(): Promise<void> {
    while (!this.isComplete) {
      const folder = await openSubfolder(this.last, this.#nextName)
      if (folder === undefined) return
      this.#folders.push(folder)
    }
  }

  /** Creates what is missing. False when somebody removed an empty folder under our feet: start again at the root. */
  async create(mode: number): Promise<boolean> {
    while (!this.isComplete) {
      if (!(await makeSubfolder(this.last, this.#nextName, mode))) return false
      const folder = await openSubfolder(this.last, this.#nextName)
      if (folder === undefined) return false
      this.#folders.push(folder)
    }
    return true
  }

  /**
   * Makes the names of all folders durable, whoever created them. `known` remembers which are: at best this is one stat.
   * A folder that is known keeps those above it from being removed, so only the last one is looked at.
   */
  async makeDurable(known: DurableFolders): Promise<void> {
    const path = this.#names.join('/')
    const identity = await identityOf(this.last)
    if (known.has(path, identity)) return
    for (const folder of this.#folders.slice(0, -1)) await folder.sync()
    known.add(path, identity)
  }

  /** Removes the folders that are empty, from the last one up to the root, which stays. */
  async prune(): Promise<void> {
    for (let depth = this.#folders.length - 1; depth > 0; depth--) {
      const parent = this.#at(depth - 1)
      if (!(await removeIfEmpty(entryOf(parent, this.#names[depth - 1] ?? '')))) return
      await parent.sync()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#folders.map((folder) => folder.close()))
  }

  get #nextName(): string {
    return this.#names[this.#folders.length - 1] ?? ''
  }

  #at(index: number): FileHandle {
    const folder = this.#folders[index]
    assert.ok(folder, 'a chain has at least its root')
    return folder
  }
}

/** Opens the folders `names` below the root at `rootPath`, as far as they exist. The caller closes the chain. */
export async function openChain(rootPath: string, names: readonly string[]): Promise<FolderChain> {
  await using opened = new AsyncDisposableStack()
  const chain = opened.use(new FolderChain(await openRoot(rootPath), names))
  await chain.descend()
  opened.move()
  return chain
}

/**
 * Opens a folder in an open folder; undefined when there is none, or an object, which nothing can be in. Throws
 * `path-unsafe` for a link and the like.
 */
export async function openSubfolder(folder: FileHandle, name: string): Promise<FileHandle | undefined> {
  const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = constants
  try {
    return await open(entryOf(folder, name), O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
  } catch (error) {
    if (hasSystemCode(error, 'ENOENT')) return undefined
    if (!hasSystemCode(error, 'ENOTDIR', 'ELOOP')) throw error
    await statObject(folder, name)
    return undefined
  }
}

/** Something in the store that the store has not made. */
export function unsafeEntry(name: string, expected: string, cause?: unknown): OperationError {
  return new OperationError(
    'path-unsafe',
    `using "${name}" in the store: expected ${expected}, found something else`,
    {
      cause,
      hint: 'A store is one directory tree on one file system, without links and special files: put back what belongs there.',
    },
  )
}

/**
 * The folders whose names are known to survive a power loss. A path alone does not do: the folder could have been removed
 * and made again by somebody who has not synced it. Inode and time of birth together tell one from the other.
 */
export class DurableFolders {
  readonly #identities = new Map<string, string>()

  has(path: string, identity: string | undefined): boolean {
    return identity !== undefined && this.#identities.get(path) === identity
  }

  add(path: string, identity: string | undefined): void {
    if (identity === undefined) return
    // Forgetting costs a few calls of fsync, so a bound is enough.
    if (this.#identities.size >= 1000) this.#identities.clear()
    this.#identities.set(path, identity)
  }
}

/** Undefined where the file system keeps no time of birth: then nothing is remembered. */
async function identityOf(folder: FileHandle): Promise<string | undefined> {
  const { dev, ino, birthtimeNs } = await folder.stat({ bigint: true })
  return birthtimeNs > 0n ? `${dev}:${ino}:${birthtimeNs}` : undefined
}

/** False when the folder to make it in was removed. */
async function makeSubfolder(folder: FileHandle, name: string, mode: number): Promise<boolean> {
  const path = entryOf(folder, name)
  try {
    await mkdir(path, mode)
    await chmod(path, mode) // mkdir has taken the umask off
    return true
  } catch (error) {
    if (hasSystemCode(error, 'ENOENT')) return false
    if (!hasSystemCode(error, 'EEXIST')) throw error
    if ((await statObject(folder, name)) !== undefined) throw unsafeEntry(name, 'a folder', error)
    return true
  }
}

async function removeIfEmpty(path: string): Promise<boolean> {
  try {
    await rmdir(path)
    return true
  } catch (error) {
    if (hasSystemCode(error, 'ENOTEMPTY', 'EEXIST', 'EBUSY', 'ENOENT')) return false
    throw error
  }
}

/** Size and kind of an entry; undefined when there is none, or a folder. Throws `path-unsafe` for links and the like. */
export async function statObject(folder: FileHandle, name: string): Promise<ObjectAttributes | undefined> {
  try {
    const found = await lstat(entryOf(folder, name))
    if (found.isFile()) return { sizeBytes: found.size, modifiedAtMs: Math.floor(found.mtimeMs) }
    if (found.isDirectory()) return undefined
    throw unsafeEntry(name, 'a regular file')
  } catch (error) {
    if (hasSystemCode(error, 'ENOENT')) return undefined
    throw error
  }
}
