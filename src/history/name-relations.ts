import type { ArchivePlace } from '../archive/archive-place.ts'
import { isAboutObject } from '../archive/object-trouble.ts'
import { formatLsn, type Lsn } from '../domain/lsn.ts'
import type { RunContext } from '../domain/run-context.ts'
import { timelineAt, type TimelineHistory } from '../domain/timeline-history.ts'
import {
  readNameList,
  type NamedDatabase,
  type NamedRelation,
  type NameListEntry,
} from '../repository/name-list.ts'
import { parseNameListKey, type NameListMoment } from '../repository/name-list-key.ts'
import { nameListPrefix } from '../repository/object-keys.ts'
import { relationKey, type RelationId } from '../wal/row-counts.ts'

/** Names are wanted as they were at a moment. */
export interface WantedName extends RelationId {
  readonly at: Lsn
}

export interface KnownNames {
  /** Undefined: no list has it. */
  readonly relation: (wanted: WantedName) => NamedRelation | undefined
  readonly database: (wanted: Pick<WantedName, 'database' | 'at'>) => NamedDatabase | undefined
  /** What a schema was last called. */
  readonly schema: (database: number, oid: number) => string | undefined
  /** Why a relation may have no name: a clause for people. */
  readonly whyUnknown: (wanted: WantedName) => string
}

/** Of what was found in several lists: that of the last one before the moment, else of the first one behind it. */
interface Found<Named> {
  readonly lsn: Lsn
  readonly named: Named
}

/**
 * What relations and databases were called, out of the lists of names that backups have stored along this way. Each list is
 * read once and only what is wanted is kept, however many names there are. A list that is damaged is warned of and passed over.
 */
export async function nameRelations(
  wanted: readonly WantedName[],
  { history, place }: { readonly history: TimelineHistory; readonly place: ArchivePlace },
  context: RunContext,
): Promise<KnownNames> {
  const moments = await listMoments(history, place, context)
  const relations = new Map<string, Found<NamedRelation>[]>(wanted.map((each) => [relationKey(each), []]))
  const databases = new Map<number, Found<NamedDatabase>[]>(wanted.map((each) => [each.database, []]))
  const schemas = new Map<string, string>()
  for (const moment of wanted.length === 0 ? [] : moments) {
    const { lsn } = moment
    const take = (entry: NameListEntry): void => {
      switch (entry.kind) {
        case 'database':
          databases.get(entry.database.oid)?.push({ lsn, named: entry.database })
          break
        case 'schema':
          schemas.set(`${entry.schema.database} ${entry.schema.oid}`, entry.schema.name)
          break
        case 'partition':
          break
        case 'relation':
          relations.get(relationKey(entry.relation))?.push({ lsn, named: entry.relation })
      }
    }
    await readEntries({ moment, take }, place, context)
  }
  return {
    relation: (each) => nearest(relations.get(relationKey(each)), each.at),
    database: ({ database, at }) => nearest(databases.get(database), at),
    schema: (database, oid) => schemas.get(`${database} ${oid}`),
    whyUnknown: (each) => whyUnknown(each, moments, nearest(databases.get(each.database), each.at)),
  }
}

async function listMoments(
  history: TimelineHistory,
  { repository, cluster }: ArchivePlace,
  context: RunContext,
): Promise<readonly NameListMoment[]> {
  const moments: NameListMoment[] = []
  for await (const { key } of repository.store.list(nameListPrefix(cluster.id), context)) {
    const moment = parseNameListKey(cluster.id, key)
    if (moment !== undefined && timelineAt(history, moment.lsn) === moment.timeline) moments.push(moment)
  }
  return moments.toSorted((one, other) => Number(one.lsn > other.lsn) - Number(one.lsn < other.lsn))
}

async function readEntries(
  { moment, take }: { readonly moment: NameListMoment; readonly take: (entry: NameListEntry) => void },
  { repository, cluster }: ArchivePlace,
  context: RunContext,
): Promise<void> {
  try {
    const list = await readNameList(repository, { clusterId: cluster.id, moment }, context)
    for (const entry of list ?? []) take(entry)
  } catch (error) {
    if (!isAboutObject(error)) throw error
    context.report({
      kind: 'warning',
      message: `a list of names cannot be used: ${error.message}`,
      hint: 'Other lists are used; what only this one named is shown by its numbers.',
    })
  }
}

function nearest<Named>(found: readonly Found<Named>[] | undefined, at: Lsn): Named | undefined {
  const before = found?.findLast(({ lsn }) => lsn <= at)
  return (before ?? found?.[0])?.named
}

function whyUnknown(
  { at }: WantedName,
  moments: readonly NameListMoment[],
  database: NamedDatabase | undefined,
): string {
  if (moments.length === 0) return 'no backup has stored names'
  if (database !== undefined && database.problem !== '')
    return `the names in database ${database.name} could not be read: ${database.problem}`
  const before = moments.findLast(({ lsn }) => lsn <= at)
  return before === undefined
    ? 'no backup had stored names by then'
    : `it was made after names were last stored, at LSN ${formatLsn(before.lsn)}`
}
