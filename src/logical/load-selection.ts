import { OperationError } from '../domain/operation-error.ts'
import type { DumpSelection } from './dump-selection.ts'

/** What of a dump is loaded, and how. Names are names here, not patterns: pg_restore takes them so. */
export interface LoadSelection {
  readonly format: DumpSelection['format']
  readonly tables: readonly string[]
  readonly schemas: readonly string[]
  readonly content: DumpSelection['content']
  readonly section: 'pre-data' | 'data' | 'post-data' | undefined
  /** Whether objects belong to whoever loads them. */
  readonly hasNoOwner: boolean
  readonly hasNoPrivileges: boolean
  /** Whether what is there under the same names is dropped first. */
  readonly isClean: boolean
}

export const wholeDump: LoadSelection = {
  format: 'custom',
  tables: [],
  schemas: [],
  content: 'all',
  section: undefined,
  hasNoOwner: false,
  hasNoPrivileges: false,
  isClean: false,
}

/** Throws `usage` when a part, or several jobs, are asked for of a dump that is SQL text, which only runs as a whole. */
export function requireLoadable({ format, ...selection }: LoadSelection, jobs: number): void {
  if (format !== 'plain') return
  const { tables, schemas, content, section, hasNoOwner, hasNoPrivileges, isClean } = selection
  const isWhole = tables.length + schemas.length === 0 && content === 'all' && section === undefined
  if (isWhole && !hasNoOwner && !hasNoPrivileges && !isClean && jobs === 1) return
  throw new OperationError(
    'usage',
    'loading a part of a dump, or another way than it was taken: expected one of the custom format, found SQL text',
    {
      hint: 'Load all of it, or write it with --to-file and edit it; take dumps in the custom format to choose later.',
    },
  )
}

/** Where pg_restore reads an archive. */
export interface ArchivePath {
  /** A file of the custom format, or a directory. */
  readonly path: string
  readonly jobs: number
}

/**
 * The arguments of pg_restore, which reads the archive from its standard input, or from where it lies. One job does all of it
 * in one transaction: a load that fails has changed nothing. Several cannot.
 */
export function pgRestoreArguments(
  { tables, schemas, content, section, ...flags }: LoadSelection,
  dbname: string,
  archive?: ArchivePath,
): readonly string[] {
  return [
    `--dbname=${quoteConninfoValue(dbname)}`,
    '--no-password',
    '--exit-on-error',
    archive === undefined || archive.jobs === 1 ? '--single-transaction' : `--jobs=${archive.jobs}`,
    ...tables.map((name) => `--table=${name}`),
    ...schemas.map((name) => `--schema=${name}`),
    ...(tables.length + schemas.length > 0 ? ['--strict-names'] : []),
    ...(content === 'all' ? [] : [`--${content}`]),
    ...(section === undefined ? [] : [`--section=${section}`]),
    ...flagArguments(flags),
    ...(archive === undefined ? [] : [archive.path]),
  ]
}

type Flags = Pick<LoadSelection, 'hasNoOwner' | 'hasNoPrivileges' | 'isClean'>

function flagArguments({ hasNoOwner, hasNoPrivileges, isClean }: Flags): readonly string[] {
  return [
    ...(hasNoOwner ? ['--no-owner'] : []),
    ...(hasNoPrivileges ? ['--no-privileges'] : []),
    ...(isClean ? ['--clean', '--if-exists'] : []),
  ]
}

/** The arguments of psql for a dump that is SQL text: as careful as those of pg_restore. */
export function psqlArguments(dbname: string): readonly string[] {
  return [
    `--dbname=${quoteConninfoValue(dbname)}`,
    '--no-password',
    '--no-psqlrc',
    '--quiet',
    '--set=ON_ERROR_STOP=1',
    '--single-transaction',
    '--output=/dev/null',
  ]
}

/** A name that holds "=" or begins like an address would be taken for a connection string. */
function quoteConninfoValue(dbname: string): string {
  return `dbname='${dbname.replaceAll(/['\\]/g, String.raw`\$&`)}'`
}
