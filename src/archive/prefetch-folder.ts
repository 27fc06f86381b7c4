import { readFileSync, utimesSync } from 'node:fs'
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { classifyArchiveFileName } from '../domain/archive-file-name.ts'
import type { Clock } from '../domain/run-context.ts'
import { isWalSegmentName, type WalSegmentName } from '../domain/wal-segment.ts'
import { sendSignal } from '../platform/child-process.ts'
import { hasSystemCode, isSystemError } from '../platform/durable-file.ts'
import {
  isGoneFromThisMachine,
  readProcessIdentity,
  type ProcessIdentity,
} from '../platform/process-identity.ts'
import { comingPrefix, prefetchFolder } from './archive-command.ts'
import { temporaryPrefix } from './write-content.ts'

/** Names that begin with a dot are ours; every other one is a segment, verified, synced and complete. */
const ownerFile = '.owner'
const askedFile = '.asked'

/**
 * An owner that has not touched its file for so long is dead: one in a container that is gone cannot be asked. Should it
 * live after all, it ends as soon as it sees that another one is here; what both have fetched is good.
 */
const silentForMs = 5000

/** Whoever still fetches into the folder while it is removed makes that fail with ENOTEMPTY; it ends soon. */
const removal = { recursive: true, force: true, maxRetries: 5, retryDelay: 50 } as const

/** `pg_wal/holdfast-prefetch` of one server: what archive-get and the prefetcher, two processes, tell each other. */
export class PrefetchFolder {
  readonly path: string
  readonly #walFolder: string
  readonly #clock: Clock

  constructor(walFolder: string, clock: Clock) {
    this.#walFolder = walFolder
    this.#clock = clock
    this.path = join(walFolder, prefetchFolder)
  }

  /** Whether a server runs here and reads an archive. Only for one is it worth to fetch ahead. */
  async isInRecovery(): Promise<boolean> {
    const dataDirectory = dirname(this.#walFolder)
    const [recovery, standby] = await Promise.all([
      isThere(join(dataDirectory, 'recovery.signal')),
      isThere(join(dataDirectory, 'standby.signal')),
    ])
    if (!recovery && !standby) return false
    const lockFile = await readIfThere(join(dataDirectory, 'postmaster.pid'))
    const pid = Number.parseInt(lockFile ?? '', 10)
    return pid > 1 && sendSignal(pid, 0)
  }

  /** Whether a prefetcher lives that looks after this folder. */
  async hasOwner(): Promise<boolean> {
    const owner = parseOwner(await readIfThere(join(this.path, ownerFile)))
    if (owner === undefined || isGoneFromThisMachine(owner, readProcessIdentity())) return false
    const touchedAtMs = await touchedAt(join(this.path, ownerFile))
    // Also when it lies in the future: the clock was set back since.
    return touchedAtMs !== undefined && Math.abs(this.#clock.now() - touchedAtMs) <= silentForMs
  }

  /**
   * Makes this process the owner, of a folder in which nothing is but that `first` may have been announced. False when
   * another one lives.
   */
  async claim(first?: WalSegmentName): Promise<boolean> {
    await mkdir(this.path, { recursive: true, mode: 0o700 })
    if (await this.hasOwner()) return false
    const kept = new Set([askedFile, `${comingPrefix}${first}`])
    for (const entry of await readdir(this.path)) {
      if (!kept.has(entry) && !entry.endsWith('.log')) await rm(join(this.path, entry), { force: true })
    }
    try {
      await writeFile(join(this.path, ownerFile), JSON.stringify(readProcessIdentity()), {
        flag: 'wx',
        mode: 0o600,
      })
    } catch (error) {
      if (hasSystemCode(error, 'EEXIST')) return false
      throw error
    }
    return this.keep()
  }

  /**
   * Says that this process, the owner, lives. To be called every second; false when it is not the owner any more. At once
   * and in this thread, so that a repository that hangs, with all other threads, is not taken for a death. By our clock,
   * not by that of the file system: whoever looks has the same one.
   */
  keep(): boolean {
    const path = join(this.path, ownerFile)
    try {
      if (!isDeepStrictEqual(parseOwner(readFileSync(path, 'utf8')), readProcessIdentity())) return false
      const seconds = this.#clock.now() / 1000
      utimesSync(path, seconds, seconds)
      return true
    } catch (error) {
      // What it cannot say, others cannot hear: they take it for dead, so it ends.
      if (isSystemError(error)) return false
      throw error
    }
  }

  async create(): Promise<void> {
    await mkdir(this.path, { recursive: true, mode: 0o700 })
  }

  async remove(): Promise<void> {
    await rm(this.path, removal)
  }

  /** The segments that wait to be taken. */
  async waiting(): Promise<readonly WalSegmentName[]> {
    const entries = await readdir(this.path)
    return entries.filter((entry) => isWalSegmentName(entry))
  }

  async discard(name: WalSegmentName): Promise<void> {
    await rm(join(this.path, name), { force: true })
  }

  /** Lets the restore_command wait for a segment, until it is there or `withdraw` was called: for 2 s at most. */
  async announce(name: WalSegmentName): Promise<void> {
    await writeFile(join(this.path, `${comingPrefix}${name}`), '', { mode: 0o600 })
  }

  /** It has come, or will not. */
  async withdraw(name: WalSegmentName): Promise<void> {
    await rm(join(this.path, `${comingPrefix}${name}`), { force: true })
  }

  async isAnnounced(name: WalSegmentName): Promise<boolean> {
    return isThere(join(this.path, `${comingPrefix}${name}`))
  }

  /** Whether it is being fetched at this moment. */
  async isInProgress(name: string): Promise<boolean> {
    try {
      const entries = await readdir(this.path)
      return entries.some(
        (entry) => entry === `${comingPrefix}${name}` || entry.startsWith(temporaryPrefix(name)),
      )
    } catch (error) {
      if (hasSystemCode(error, 'ENOENT')) return false
      throw error
    }
  }

  /** Gives a fetched segment its place. False when it is not here. */
  async take(name: string, destination: string): Promise<boolean> {
    try {
      await rename(join(this.path, name), destination)
      return true
    } catch (error) {
      if (hasSystemCode(error, 'ENOENT')) return false
      throw error
    }
  }

  /** Tells the prefetcher which segment PostgreSQL had to be given the slow way. */
  async tellAsked(name: WalSegmentName): Promise<void> {
    const unfinished = join(this.path, `.asked-${process.pid}`)
    await writeFile(unfinished, name, { mode: 0o600 })
    await rename(unfinished, join(this.path, askedFile))
  }

  async readAsked(): Promise<WalSegmentName | undefined> {
    const asked = classifyArchiveFileName((await readIfThere(join(this.path, askedFile))) ?? '')
    return asked?.kind === 'segment' ? asked.name : undefined
  }
}

async function isThere(path: string): Promise<boolean> {
  return (await touchedAt(path)) !== undefined
}

async function touchedAt(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).mtimeMs
  } catch (error) {
    if (hasSystemCode(error, 'ENOENT')) return undefined
    throw error
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (hasSystemCode(error, 'ENOENT')) return undefined
    throw error
  }
}

/** Undefined for a file that a crash left half written: its writer is dead. */
function parseOwner(text: string | undefined): ProcessIdentity | undefined {
  try {
    const value: unknown = JSON.parse(text ?? '')
    return isIdentity(value) ? value : undefined
  } catch {
    return undefined
  }
}

function isIdentity(value: unknown): value is ProcessIdentity {
  const expected = {
    host: 'string',
    bootId: 'string',
    pidNamespace: 'string',
    pid: 'number',
    startTicks: 'string',
  }
  if (typeof value !== 'object' || value === null) return false
  const fields = new Map(Object.entries(value))
  return Object.entries(expected).every(([name, type]) => typeof fields.get(name) === type)
}
