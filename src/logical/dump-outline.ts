import type { RunContext } from '../domain/run-context.ts'
import { linesOf } from './lines-of.ts'
import { listContents, type ContentsRequest } from './read-contents.ts'

/** What a dump of a database says that it holds. */
export interface DumpOutline {
  /** Everything that it names. */
  readonly entryCount: number
  /** Definitions of tables, partitioned ones too. */
  readonly tableCount: number
  /** Whether it has rows of any table. They may be none. */
  readonly hasRows: boolean
  /** Whether it has content and no definition of anything: it cannot be loaded into an empty database. */
  readonly isDataOnly: boolean
}

/**
 * Reads what a dump holds: of an archive by its table of contents, of SQL text by the comments of pg_dump, for which all
 * of it is read. Throws `damaged`, and what `chunks` throws.
 */
export async function readOutline(
  { format, ...request }: ContentsRequest & { readonly format: string },
  context: RunContext,
): Promise<DumpOutline> {
  const tally = new OutlineTally()
  const entries =
    format === 'plain' ? textEntries(request.chunks) : archiveEntries(listContents(request, context))
  for await (const entry of entries) tally.add(entry)
  return tally.toOutline()
}

/** A word of pg_dump for what it is: `TABLE`, `TABLE DATA`. */
type Entry = string

/** What is content, and no definition. */
const isContent = (entry: Entry): boolean =>
  /^(?:TABLE DATA|SEQUENCE SET|BLOBS?|BLOB .*|LARGE OBJECT.*)$/.test(entry)

class OutlineTally {
  #entryCount = 0
  #tableCount = 0
  #contentCount = 0
  #hasRows = false

  add(entry: Entry): void {
    this.#entryCount += 1
    if (entry === 'TABLE') this.#tableCount += 1
    if (entry === 'TABLE DATA') this.#hasRows = true
    if (isContent(entry)) this.#contentCount += 1
  }

  toOutline(): DumpOutline {
    return {
      entryCount: this.#entryCount,
      tableCount: this.#tableCount,
      hasRows: this.#hasRows,
      isDataOnly: this.#entryCount > 0 && this.#contentCount === this.#entryCount,
    }
  }
}

/**
 * A line of `pg_restore --list` is "ID; CATALOG OID TYPE SCHEMA NAME OWNER", and all of the last four may have blanks. Only
 * what comes of pg_class (1259) and is called a table is one; its data come of no catalogue.
 */
async function* archiveEntries(lines: AsyncIterable<string>): AsyncGenerator<Entry, void> {
  for await (const line of lines) {
    const [, catalog, rest = ''] = /^\d+; (\d+) \d+ (.*)$/.exec(line) ?? []
    if (catalog === '1259' && rest.startsWith('TABLE ')) yield 'TABLE'
    else if (catalog === '0') yield /^(?:TABLE DATA|SEQUENCE SET|BLOBS)(?= )/.exec(rest)?.[0] ?? 'other'
    else yield catalog === '2613' ? 'BLOB' : 'other'
  }
}

/** Rows stand between a COPY and a line with a backslash and a point; what looks like a comment in them is none. */
async function* textEntries(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Entry, void> {
  let isInRows = false
  for await (const line of linesOf(chunks)) {
    if (isInRows) isInRows = line !== String.raw`\.`
    else if (line.startsWith('COPY ')) isInRows = line.endsWith(' FROM stdin;')
    else if (line.startsWith('-- ')) {
      const type = /^-- (?:Data for )?Name: .*; Type: ([A-Z ]+); Schema: /.exec(line)?.[1]
      if (type !== undefined) yield type
    }
  }
}
