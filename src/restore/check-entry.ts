import { type BytePath, showBytePath, toBytePath } from '../platform/byte-path.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { ManifestEntry } from '../repository/manifest-entry.ts'

export const controlFilePath: BytePath = 'global/pg_control'
export const autoConfPath: BytePath = 'postgresql.auto.conf'

/** The server's own files: a manifest that has one of them is not the work of a backup. */
const reserved: ReadonlySet<BytePath> = new Set(['backup_label', 'tablespace_map', 'postmaster.pid'])

/** What a server makes in a tablespace: TABLESPACE_VERSION_DIRECTORY in common/relpath.h. */
const tablespaceFolder = /^PG_[0-9]+_[0-9]+(?:\/|$)/

/** PATH_MAX less its zero: whatever a backup could read is not refused, and nothing longer can be written. */
const longestPathBytes = 4095
const longestNameBytes = 255

/**
 * Checks entries one after the other, in the manifest's order, before anything is written: a manifest is data from
 * somewhere else, however well it is sealed. Every path stays below its root, below a directory that was entered before
 * it, and so never below a link.
 */
export class EntryChecker {
  readonly #roots: ReadonlySet<number>
  /** Directories of the root that entries come from now; entries are ordered by root. */
  #directories = new Set<BytePath>()
  #root = -1
  #last: BytePath | undefined

  /** `roots`: 0 and the OIDs of the tablespaces that have a place of their own. */
  constructor(roots: ReadonlySet<number>) {
    this.#roots = roots
  }

  /** Gives the entry's path. Throws `path-unsafe`. */
  check(entry: ManifestEntry): BytePath {
    const path = toBytePath(entry.path)
    if (entry.root !== this.#root) {
      if (!this.#roots.has(entry.root))
        throw unsafe(path, `it belongs to tablespace ${entry.root}, which the backup does not have`)
      if (entry.root < this.#root) throw unsafe(path, 'it is out of order')
      this.#directories = new Set()
      this.#root = entry.root
      this.#last = undefined
    }
    // Each path once: a directory in the place of a link would make what is below it follow the link.
    if (this.#last !== undefined && path <= this.#last) throw unsafe(path, 'it is out of order')
    const problem = problemOf(entry, path) ?? this.#placeProblem(entry, path)
    if (problem !== undefined) throw unsafe(path, problem)
    this.#last = path
    if (entry.kind === 'directory') this.#directories.add(path)
    return path
  }

  #placeProblem(entry: ManifestEntry, path: BytePath): string | undefined {
    if (path === '') return entry.kind === 'directory' ? undefined : 'the root is not a directory'
    const parent = path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : ''
    return this.#directories.has(parent) ? undefined : 'it is not below a directory of the backup'
  }
}

function problemOf({ root, kind }: ManifestEntry, path: BytePath): string | undefined {
  if (path === '') return undefined
  const problem = spellingProblem(path)
  if (problem !== undefined) return problem
  // Nothing else can be put into a directory that the manifest, not the operator, has named: a user's ".ssh", say.
  if (root !== 0) return tablespaceFolder.test(path) ? undefined : 'a tablespace never holds this'
  if (reserved.has(path)) return 'a backup never holds this file'
  return kind === 'link' && /^(?:pg_tblspc|global)(?:\/|$)/.test(path)
    ? 'a backup never holds a link there'
    : undefined
}

function spellingProblem(path: BytePath): string | undefined {
  if (path.length > longestPathBytes) return `its path has ${path.length} bytes`
  if (path.includes('\0')) return 'its path has a zero byte'
  const names = path.split('/')
  if (names.some((name) => name === '' || name === '.' || name === '..')) return 'its path leads elsewhere'
  return names.some((name) => name.length > longestNameBytes) ? 'a name in its path is too long' : undefined
}

function unsafe(path: BytePath, problem: string): OperationError {
  return new OperationError(
    'path-unsafe',
    `reading the backup's manifest: its entry ${showBytePath(path)} is refused: ${problem}`,
    {
      hint: 'Nothing was written. The backup was not made by this tool, or was tampered with: restore from another one.',
    },
  )
}
