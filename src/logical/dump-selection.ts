import { everything } from '../repository/dump-contents.ts'

/** What pg_dump writes as one stream. `custom`: can be restored in parts; `plain`: SQL text. */
export type StreamFormat = 'custom' | 'plain'

/** What of a database is dumped, and how. Patterns are those of pg_dump, which psql's \d has too. */
export interface DumpSelection {
  /** `directory`: as `custom`, in files, by several processes at once. */
  readonly format: StreamFormat | 'directory'
  readonly tables: readonly string[]
  readonly excludeTables: readonly string[]
  /** Their definition is dumped, and not their rows. */
  readonly excludeTableData: readonly string[]
  readonly schemas: readonly string[]
  readonly excludeSchemas: readonly string[]
  readonly content: 'all' | 'schema-only' | 'data-only'
}

export const wholeDatabase: DumpSelection = {
  format: 'custom',
  tables: [],
  excludeTables: [],
  excludeTableData: [],
  schemas: [],
  excludeSchemas: [],
  content: 'all',
}

interface DumpWay {
  readonly snapshot: string
  /** Of the directory format: which pg_dump makes, and how many processes write there. */
  readonly directory?: { readonly path: string; readonly jobs: number } | undefined
  /** At which pg_dump compresses by zstd. Undefined: it does not compress. */
  readonly zstdLevel?: number | undefined
}

/**
 * The arguments of pg_dump. A pattern that matches nothing is an error, for a dump that silently lacks a table is none.
 */
export function pgDumpArguments(
  selection: DumpSelection,
  { snapshot, directory, zstdLevel }: DumpWay,
): readonly string[] {
  const included = [...selection.tables, ...selection.schemas]
  return [
    `--format=${selection.format}`,
    `--compress=${zstdLevel === undefined ? '0' : `zstd:${zstdLevel}`}`,
    '--no-password',
    `--snapshot=${snapshot}`,
    ...(directory === undefined ? [] : [`--file=${directory.path}`, `--jobs=${directory.jobs}`, '--no-sync']),
    ...partArguments(selection),
    ...(included.length > 0 ? ['--strict-names'] : []),
  ]
}

/** The same text for the same part of a database, in whatever order it was asked for. */
export function describePart(selection: DumpSelection): string {
  const part = partArguments(selection)
  return part.length === 0 ? everything : part.toSorted().join(' ')
}

/** None: all of it. */
function partArguments({ content, ...patterns }: DumpSelection): readonly string[] {
  return [
    ...patterns.tables.map((pattern) => `--table=${pattern}`),
    ...patterns.excludeTables.map((pattern) => `--exclude-table=${pattern}`),
    ...patterns.excludeTableData.map((pattern) => `--exclude-table-data=${pattern}`),
    ...patterns.schemas.map((pattern) => `--schema=${pattern}`),
    ...patterns.excludeSchemas.map((pattern) => `--exclude-schema=${pattern}`),
    ...(content === 'all' ? [] : [`--${content}`]),
  ]
}
