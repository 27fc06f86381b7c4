import type { PostgresSession } from '../postgres/connection.ts'
import { relationKey, type RelationId } from '../wal/row-counts.ts'
import type { DrillCheck } from './drill-report.ts'

/** A table, or an index, that may have lost something since it was backed up. */
export interface Suspect extends RelationId {
  /** `shrunk`: its file is shorter than the one in the backup. `emptied`, `gone`: it had rows, by the list of names. */
  readonly kind: 'shrunk' | 'emptied' | 'gone'
  /** What it was and what it is, for people. */
  readonly finding: string
  /** About how many rows it had; undefined when that is not known. */
  readonly rows: number | undefined
}

/** What the WAL tells between a backup and the moment that was recovered. */
export interface WalTestimony {
  /** `relationKey` of those whose rows or files went by a transaction that was committed, or that were cut down. */
  readonly explained: ReadonlySet<string>
  /** Why WAL could not be looked through. Empty: all of it was. */
  readonly holes: readonly string[]
}

/** Bounds on memory. */
const mostSuspects = 10_000
const mostFindings = 20
/**
 * Fewer rows may have been deleted without that the server counted again: autovacuum does it after 50 and a tenth of the
 * rows were changed, with the usual settings.
 */
const fewestTelling = 1000

/** What was there when it was backed up, and is not there now. */
export class LossTally {
  readonly suspects: Suspect[] = []
  readonly #hasNames: boolean
  #more = 0
  #tables = 0
  #rows = 0
  #estimated = 0

  constructor({ hasNames }: { readonly hasNames: boolean }) {
    this.#hasNames = hasNames
  }

  /** In all tables. */
  get rowCount(): number {
    return this.#rows
  }

  /** A table as it is now, and about how many rows it had. */
  addTable({ rows, estimate }: { readonly rows: number; readonly estimate: number | undefined }): void {
    this.#tables += 1
    this.#rows += rows
    this.#estimated += estimate ?? 0
  }

  suspect(suspect: Suspect): void {
    if (this.suspects.length < mostSuspects) this.suspects.push(suspect)
    else this.#more += 1
  }

  toCheck({ explained, holes }: WalTestimony): DrillCheck {
    const name = 'losses'
    const left = this.suspects.filter((suspect) => !explained.has(relationKey(suspect)))
    const findings = left.slice(0, mostFindings).map(({ finding }) => finding)
    const certain = left.filter(({ kind }) => kind === 'shrunk').length
    if (certain > 0 && holes.length === 0)
      return { name, state: 'failed', message: `${certain} files have lost their end`, findings }
    const telling = left.filter(({ kind, rows = 0 }) => kind === 'shrunk' || rows >= fewestTelling).length
    if (telling === 0 && this.#more === 0)
      return { name, state: 'passed', message: this.#summary(), findings }
    const why = holes.length > 0 ? `; not all of the WAL could be read: ${holes[0]}` : ''
    const message = `${telling + this.#more} relations have nothing left, and the WAL does not say why${why}`
    return { name, state: 'not-proven', message, findings }
  }

  #summary(): string {
    const found = `${inThousands(this.#rows)} rows in ${inThousands(this.#tables)} tables`
    return this.#hasNames
      ? `${found}; about ${inThousands(this.#estimated)} when they were last counted before the backup`
      : `${found}; the backup does not say how many there were`
  }
}

/** Adds what is shorter than in the backup, and tables that are gone. The session has what `loadBackedUpTables` brought. */
export async function addMissing(
  tally: LossTally,
  session: PostgresSession,
  { oid, name }: { readonly oid: number; readonly name: string },
): Promise<void> {
  for (const row of await session.query<MissingRow>(shrunkQuery)) {
    const finding = `${name}, ${row.name}: had ${row.was} bytes in the backup, has ${row.now}`
    tally.suspect({ ...idOf(row, oid), kind: 'shrunk', finding, rows: undefined })
  }
  for (const row of await session.query<MissingRow>(goneQuery)) {
    const rows = Number(row.was)
    const finding = `${name}, ${row.name}: was there with about ${inThousands(rows)} rows, is not there`
    tally.suspect({ ...idOf(row, oid), kind: 'gone', finding, rows })
  }
}

interface MissingRow {
  readonly tablespace: string
  readonly file: string
  readonly name: string
  readonly was: string
  readonly now: string
}

const idOf = ({ tablespace, file }: MissingRow, database: number): RelationId => ({
  tablespace: Number(tablespace),
  database,
  relation: Number(file),
})

export const inThousands = (count: number): string => String(count).replaceAll(/\B(?=(?:\d{3})+$)/g, ',')

/** Those that got other files since were rewritten by what was recovered. */
const shrunkQuery = `
  select s.tablespace, s.file, pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) as name,
         s.bytes::pg_catalog.text as was, pg_catalog.pg_relation_size(c.oid)::pg_catalog.text as now
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) c.relnamespace
    join pg_catalog.pg_database d on d.datname operator(pg_catalog.=) pg_catalog.current_database()
    join (select tablespace, file, pg_catalog.sum(bytes) as bytes from pg_temp.holdfast_stored group by 1, 2) s
      on s.file operator(pg_catalog.=) pg_catalog.pg_relation_filenode(c.oid)
     and s.tablespace operator(pg_catalog.=) case when c.reltablespace operator(pg_catalog.=) 0 then d.dattablespace else c.reltablespace end
   where c.relpersistence operator(pg_catalog.=) 'p' and not c.relisshared
     and pg_catalog.pg_relation_size(c.oid) operator(pg_catalog.<) s.bytes
   limit ${mostSuspects + 1}`

const goneQuery = `
  select l.tablespace, l.file, l.name, l.rows::pg_catalog.text as was, '' as now
    from pg_temp.holdfast_listed l
   where l.rows operator(pg_catalog.>) 0
     and not exists (select from pg_catalog.pg_class c where c.oid operator(pg_catalog.=) l.oid)
   limit ${mostSuspects + 1}`
