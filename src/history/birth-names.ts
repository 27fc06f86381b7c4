import type { Lsn } from '../domain/lsn.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { NamedRelation } from '../repository/name-list.ts'
import { readNewRelation, readNewSchema, type NewRelation } from '../wal/catalog-rows.ts'
import type { WalRecord } from '../wal/record-reader.ts'
import { relationKey, type RelationId } from '../wal/row-counts.ts'
import { scanRecords, type WalWay } from './scan-records.ts'

/** A relation, and where its file was made. */
export interface MadeRelation extends RelationId {
  readonly madeLsn: Lsn
}

export interface BirthTools extends WalWay {
  /** What a schema is called as far as lists of names know. */
  readonly schemaName: (database: number, oid: number) => string | undefined
}

/** Each segment takes about a tenth of a second; nobody waits for more of them. */
const mostSegments = 100
/** A relation's row follows its file, nearly always in the same segment. */
const segmentsToLook = 2

/** Schemas that every database has: catalog/pg_namespace.dat. */
const fixedSchemas: ReadonlyMap<number, string> = new Map([
  [11, 'pg_catalog'],
  [99, 'pg_toast'],
  [2200, 'public'],
])

/**
 * What relations were called when they were made, out of the WAL itself: for those that were made after names were last
 * stored. By `relationKey`; what is not found is left out. Reads the segments in which they were made, the newest first.
 */
export async function findBirthNames(
  made: readonly MadeRelation[],
  tools: BirthTools,
  context: RunContext,
): Promise<ReadonlyMap<string, NamedRelation>> {
  const size = BigInt(tools.place.cluster.walSegmentSize)
  const groups = [...Map.groupBy(made, ({ madeLsn }) => madeLsn / size).entries()]
    .toSorted(([one], [other]) => Number(other > one) - Number(other < one))
    .slice(0, mostSegments)
  const born = new Map<string, Born>()
  const schemas = new Map<string, string>()
  for (const [index, [, group]] of groups.entries()) {
    await nameGroup(group, { ...tools, born, schemas }, context)
    context.report({
      kind: 'progress',
      phase: 'reading names in the WAL',
      done: index + 1,
      total: groups.length,
      unit: 'segments',
    })
  }
  // A schema may have been made in a segment that was read later.
  const nameOf = ({ database, namespace }: Born): string =>
    fixedSchemas.get(namespace) ??
    schemas.get(`${database} ${namespace}`) ??
    tools.schemaName(database, namespace) ??
    `schema ${namespace}`
  return new Map(
    [...born].map(([key, each]) => {
      const { tablespace, database, relation, oid, kind, name } = each
      return [key, { tablespace, database, relation, oid, kind, schema: nameOf(each), name, rows: undefined }]
    }),
  )
}

type Born = NewRelation & RelationId

interface Naming extends WalWay {
  readonly born: Map<string, Born>
  /** That were made meanwhile, by database and OID. */
  readonly schemas: Map<string, string>
}

async function nameGroup(
  group: readonly MadeRelation[],
  { born, schemas, ...wal }: Naming,
  context: RunContext,
): Promise<void> {
  const wanted = new Map(group.map((each) => [`${each.database} ${each.relation}`, each]))
  const look = (record: WalRecord): boolean => {
    const schema = readNewSchema(record)
    if (schema !== undefined) schemas.set(`${schema.database} ${schema.oid}`, schema.name)
    const made = readNewRelation(record)
    const file = made && wanted.get(`${made.database} ${made.relation}`)
    if (made === undefined || file === undefined) return false
    wanted.delete(`${made.database} ${made.relation}`)
    if (!isPassing(made.name)) born.set(relationKey(file), { ...made, ...file })
    return wanted.size === 0
  }
  const [first] = group
  if (first !== undefined)
    await scanRecords({ from: first.madeLsn, segments: segmentsToLook, look }, wal, context)
}

/** What rewrites a table makes one of such a name, whose file the table then gets: make_new_heap in commands/cluster.c. */
const isPassing = (name: string): boolean => /^pg_temp_\d+$/.test(name)
