import { lstatSync, readdirSync, readlinkSync, realpathSync, statSync, type Stats } from 'node:fs'
import { type BytePath, fromBytePath, joinBytePath, toBytePath, showBytePath } from '../platform/byte-path.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { isExcludedFromBackup } from '../postgres/backup-exclusions.ts'
import { findUnloggedRelations, isWithoutWal, parseRelationFileName } from '../postgres/page-layout.ts'
import type { TablespaceRecord } from '../repository/manifest-head.ts'
import { OwnerTable } from './owner-table.ts'
import {
  compareScanned,
  type Scan,
  type ScannedDirectory,
  type ScannedFile,
  type ScannedLink,
} from './scan.ts'

/** What to do about symbolic links in the data directory that are not tablespaces (R15). */
export type LinkPolicy = 'error' | 'follow' | 'as-link'

export interface ListedTablespace {
  readonly oid: number
  readonly name: string
}

export interface ScanRequest {
  readonly dataDirectory: string
  /** Name of the folder that a tablespace keeps for this version: `PG_18_202506291`. */
  readonly tablespaceVersionFolder: string
  /** Asks the server for its tablespaces but pg_default and pg_global: again when one of them is not to be found. */
  readonly readTablespaces: () => Promise<readonly ListedTablespace[]>
  readonly links: LinkPolicy
}

const tablespaceFolder = 'pg_tblspc'
/** A link that leads here more often than this leads in circles. */
const deepestNesting = 64
/** DROP TABLESPACE removes what is on disk first and commits then: until then the server still lists it. */
const dropPatienceMs = 5000
const dropPollMs = 100

/**
 * Lists everything that a backup takes, in the state it is in now: call it after the backup began. What vanishes while
 * it looks is left out; anything that cannot be read is an error (R7).
 */
export async function scanDataDirectory(request: ScanRequest, context: RunContext): Promise<Scan> {
  return new Scanner(request, context).scan()
}

interface Folder {
  readonly root: number
  readonly path: BytePath
  /** Where it is on this machine. */
  readonly place: BytePath
  readonly depth: number
}

class Scanner {
  readonly #request: ScanRequest
  readonly #context: RunContext
  readonly #owners = new OwnerTable()
  readonly #directories: ScannedDirectory[] = []
  readonly #files: ScannedFile[] = []
  readonly #links: ScannedLink[] = []
  #tablespaces: readonly TablespaceRecord[] = []
  readonly #rootPaths = new Map<number, BytePath>()
  /** Places of tablespaces that lie inside the data directory: not to be taken twice (R14). */
  readonly #tablespacePlaces = new Set<BytePath>()

  constructor(request: ScanRequest, context: RunContext) {
    this.#request = request
    this.#context = context
  }

  async scan(): Promise<Scan> {
    const dataDirectory = toBytePath(Buffer.from(realpathSync(this.#request.dataDirectory)))
    this.#rootPaths.set(0, dataDirectory)
    for (const tablespace of await this.#request.readTablespaces())
      await this.#unlessDropped(tablespace.oid, () => this.#findTablespace(tablespace))
    for (const root of this.#rootPaths.keys()) await this.#scanRoot(root)
    return {
      directories: this.#directories.toSorted(compareScanned),
      files: this.#files.toSorted(compareScanned),
      links: this.#links.toSorted(compareScanned),
      tablespaces: this.#tablespaces,
      rootPaths: this.#rootPaths,
      owners: this.#owners.names,
      totalBytes: this.#files.reduce((sum, file) => sum + file.sizeBytes, 0),
    }
  }

  /** A tablespace is a link in pg_tblspc; one that is a directory there (15 and later) is part of the data directory. */
  #findTablespace({ oid, name }: ListedTablespace): void {
    const link = this.#linkOf(oid)
    const stats = lookAt(link)
    if (stats === undefined)
      throw unreadable(link, 'the server has a tablespace of this number, but there is no link to it')
    const place = stats.isSymbolicLink() ? realPathOf(link) : undefined
    const location = place === undefined ? undefined : fromBytePath(place).toString()
    this.#tablespaces = [...this.#tablespaces, { oid, name, location }]
    if (place === undefined) return
    this.#rootPaths.set(oid, place)
    this.#tablespacePlaces.add(place)
  }

  /**
   * What it looks for; undefined when the tablespace was dropped meanwhile: its link is gone, and the server does not
   * list it any more. Only both prove it, and whoever ends the backup compares with the list at its start (R10).
   */
  async #unlessDropped<T>(oid: number, look: () => T): Promise<T | undefined> {
    const { clock, signal } = this.#context
    const deadline = clock.monotonic() + dropPatienceMs
    for (;;) {
      try {
        return look()
      } catch (error) {
        if (await this.#isDropped(oid)) return undefined
        if (clock.monotonic() >= deadline) throw error
      }
      await clock.sleep(dropPollMs, signal)
    }
  }

  async #isDropped(oid: number): Promise<boolean> {
    if (lookAt(this.#linkOf(oid)) !== undefined) return false
    const listed = await this.#request.readTablespaces()
    return listed.every((tablespace) => tablespace.oid !== oid)
  }

  #linkOf(oid: number): BytePath {
    return `${this.#rootPaths.get(0) ?? ''}/${tablespaceFolder}/${oid}`
  }

  async #scanRoot(root: number): Promise<void> {
    const place = this.#rootPaths.get(root) ?? ''
    const look = (): Stats => this.#requireRoot(root, place)
    const stats = root === 0 ? look() : await this.#unlessDropped(root, look)
    if (stats === undefined) {
      this.#rootPaths.delete(root)
      this.#tablespaces = this.#tablespaces.filter(({ oid }) => oid !== root)
      return
    }
    this.#addDirectory({ root, path: '', place, depth: 0 }, stats)
    const folders: Folder[] = [{ root, path: '', place, depth: 0 }]
    for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
      this.#context.signal.throwIfAborted()
      folders.push(...this.#scanFolder(folder))
      await new Promise(setImmediate) // a million files must not keep the lease from beating
    }
  }

  /** A tablespace without its folder is one whose disk is not mounted here: taking nothing of it would be a silent loss. */
  #requireRoot(root: number, place: BytePath): Stats {
    const stats = lookAt(place)
    if (stats === undefined) throw unreadable(place, 'it is not there')
    const versionFolder = `${place}/${this.#request.tablespaceVersionFolder}`
    if (root !== 0 && lookAt(versionFolder) === undefined)
      throw unreadable(versionFolder, 'the tablespace has no such folder; is its disk mounted?')
    return stats
  }

  #scanFolder(folder: Folder): readonly Folder[] {
    const names = this.#namesIn(folder)
    const unlogged = findUnloggedRelations(names)
    const inner: Folder[] = []
    for (const name of names) {
      const path = joinBytePath(folder.path, name)
      const relation = parseRelationFileName(name)
      const isLeftOut =
        isExcludedFromBackup(inDataDirectory(folder.root, path)) ||
        (relation !== undefined && isInDatabaseFolder(folder) && isWithoutWal(relation, unlogged))
      if (isLeftOut) continue
      const found = this.#scanEntry({
        ...folder,
        path,
        place: `${folder.place}/${name}`,
        depth: folder.depth + 1,
      })
      if (found !== undefined) inner.push(found)
    }
    return inner
  }

  #namesIn(folder: Folder): readonly BytePath[] {
    if (folder.root !== 0 && folder.path === '') return [this.#request.tablespaceVersionFolder]
    try {
      return readdirSync(fromBytePath(folder.place), { encoding: 'buffer' }).map(toBytePath)
    } catch (cause) {
      if (isGone(cause)) return []
      throw unreadable(folder.place, 'it cannot be listed', cause)
    }
  }

  /** Records what is at this place; gives the folder that is to be scanned in turn. */
  #scanEntry(entry: Folder): Folder | undefined {
    const stats = lookAt(entry.place)
    if (stats === undefined) return undefined
    if (stats.isSymbolicLink()) return this.#scanLink(entry, stats)
    if (stats.isDirectory()) {
      if (entry.depth > deepestNesting)
        throw unreadable(entry.place, `it is nested deeper than ${deepestNesting} folders`)
      if (entry.root === 0 && this.#tablespacePlaces.has(entry.place)) return undefined
      this.#addDirectory(entry, stats)
      return entry
    }
    if (stats.isFile()) {
      this.#addFile(entry, stats)
      return undefined
    }
    this.#context.report({
      kind: 'warning',
      message: `left out ${showBytePath(entry.place)}: it is neither a file nor a directory`,
    })
    return undefined
  }

  #scanLink(entry: Folder, link: Stats): Folder | undefined {
    if (entry.root === 0 && entry.path.startsWith(`${tablespaceFolder}/`)) return undefined
    const followed = followLink(entry.place)
    if (entry.root === 0 && isExcludedFromBackup(`${entry.path}/content`)) {
      // pg_wal on another disk is common; its content is not taken, a restore makes a directory of it.
      if (followed !== undefined) this.#addDirectory(entry, followed)
      return followed === undefined ? undefined : entry
    }
    switch (this.#request.links) {
      case 'as-link': {
        const target = toBytePath(readlinkSync(fromBytePath(entry.place), { encoding: 'buffer' }))
        this.#links.push({ root: entry.root, path: entry.path, owner: this.#owners.indexOf(link), target })
        return undefined
      }
      case 'follow':
        return this.#follow(entry, followed)
      case 'error':
        throw new OperationError(
          'link-refused',
          `backing up ${showBytePath(entry.place)}: it is a symbolic link`,
          {
            hint: 'Set "links" of the cluster to "follow" to back up what it leads to, or to "as-link" to keep only the link.',
          },
        )
    }
  }

  #follow(entry: Folder, stats: Stats | undefined): Folder | undefined {
    if (stats === undefined) throw unreadable(entry.place, 'it is a link that leads nowhere')
    if (stats.isFile()) this.#addFile(entry, stats, true)
    if (!stats.isDirectory()) return undefined
    if (entry.depth > deepestNesting) throw unreadable(entry.place, 'its links lead in circles')
    this.#addDirectory(entry, stats)
    return entry
  }

  #addDirectory({ root, path }: Folder, stats: Stats): void {
    this.#directories.push({ root, path, mode: stats.mode & 0o7777, owner: this.#owners.indexOf(stats) })
  }

  #addFile({ root, path }: Folder, stats: Stats, isFollowed = false): void {
    this.#files.push({
      root,
      path,
      mode: stats.mode & 0o7777,
      owner: this.#owners.indexOf(stats),
      sizeBytes: stats.size,
      modifiedAtMs: stats.mtimeMs,
      isFollowed,
    })
  }
}

/** Where the server sees it: tablespaces below pg_tblspc. */
function inDataDirectory(root: number, path: BytePath): BytePath {
  return root === 0 ? path : joinBytePath(`${tablespaceFolder}/${root}`, path)
}

const databaseFolder = /^(?:base\/\d+|global|pg_tblspc\/\d+\/[^/]+\/\d+)$/

/** Digits are a relation only where relations are: pg_xact has such names too. */
function isInDatabaseFolder({ root, path }: Folder): boolean {
  return databaseFolder.test(inDataDirectory(root, path))
}

function lookAt(place: BytePath): Stats | undefined {
  try {
    return lstatSync(fromBytePath(place))
  } catch (cause) {
    if (isGone(cause)) return undefined
    throw unreadable(place, 'it cannot be looked at', cause)
  }
}

function realPathOf(link: BytePath): BytePath {
  try {
    return toBytePath(realpathSync(fromBytePath(link), { encoding: 'buffer' }))
  } catch (cause) {
    throw unreadable(link, 'the link leads nowhere; is the disk of the tablespace mounted?', cause)
  }
}

function followLink(place: BytePath): Stats | undefined {
  try {
    return statSync(fromBytePath(place))
  } catch (cause) {
    if (isGone(cause)) return undefined
    throw unreadable(place, 'the link cannot be followed', cause)
  }
}

function isGone(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}

function unreadable(place: BytePath, why: string, cause?: unknown): OperationError {
  return new OperationError('file-unreadable', `backing up ${showBytePath(place)}: ${why}`, {
    cause,
    hint: 'The backup must be able to read everything in the data directory; run it as the user that owns it.',
  })
}
