import { catalogs } from './catalogs.ts'
import { readLoggedRow, type LoggedRow } from './logged-row.ts'
import type { WalRecord } from './record-reader.ts'

/** A relation that was made: a new row of pg_class. */
export interface NewRelation {
  readonly database: number
  readonly oid: number
  readonly name: string
  /** OID of its schema. */
  readonly namespace: number
  /** The number of its files; 0 when it has none. */
  readonly relation: number
  /** pg_class.relkind. */
  readonly kind: string
}

/** A schema that was made: a new row of pg_namespace. */
export interface NewSchema {
  readonly database: number
  readonly oid: number
  readonly name: string
}

/** Offsets in FormData_pg_class, catalog/pg_class.h: all of these come before anything that may be null. */
const classRow = { oid: 0, name: 4, namespace: 68, fileNumber: 88 } as const
/** 18 put relallfrozen before it. */
const kindAt = (major: number): number => (major >= 18 ? 119 : 115)
/** NAMEDATALEN in pg_config_manual.h. */
const nameBytes = 64

/** Undefined for every other record. */
export function readNewRelation(record: WalRecord): NewRelation | undefined {
  const row = rowOf(record, catalogs.class, kindAt(record.major) + 1)
  if (row === undefined) return undefined
  const { database, values } = row
  return {
    database,
    oid: values.getUint32(classRow.oid, true),
    name: readName(values, classRow.name),
    namespace: values.getUint32(classRow.namespace, true),
    relation: values.getUint32(classRow.fileNumber, true),
    kind: String.fromCharCode(values.getUint8(kindAt(record.major))),
  }
}

/** Undefined for every other record. */
export function readNewSchema(record: WalRecord): NewSchema | undefined {
  const row = rowOf(record, catalogs.namespace, 4 + nameBytes)
  return row && { database: row.database, oid: row.values.getUint32(0, true), name: readName(row.values, 4) }
}

function rowOf(record: WalRecord, catalog: number, leastBytes: number): LoggedRow | undefined {
  const row = readLoggedRow(record, 'inserted', catalog)
  return row !== undefined && row.values.byteLength >= leastBytes ? row : undefined
}

/** A NameData is filled up with zeros. Its encoding is the database's: what is not UTF-8 shows as such. */
function readName({ buffer, byteOffset }: DataView, at: number): string {
  const bytes = new Uint8Array(buffer, byteOffset + at, nameBytes)
  const end = bytes.indexOf(0)
  return new TextDecoder().decode(bytes.subarray(0, end < 0 ? nameBytes : end))
}
