import type { AffectedListing, FindDocument, FoundTransaction } from '../api/find-document.ts'
import { formatLsn } from '../domain/lsn.ts'
import { formatInstant } from '../domain/target-time.ts'
import type { Accident, AffectedRelation } from '../history/find-accidents.ts'
import { relationKey } from '../wal/row-counts.ts'
import { restoreOptions, type SearchedHistory } from './search-history.ts'

/** Enough to see where a night changed. */
const mostBuckets = 120

/** What was found, as programs are told of it. */
export function listFound(searched: SearchedHistory): FindDocument {
  const { cluster, repo, timeline, from, to, commitCount, holes, histogram, accidents, omittedCount } =
    searched
  const range = histogram.range
  return {
    version: 1,
    cluster,
    repo,
    timeline,
    searched: {
      fromLsn: formatLsn(from),
      toLsn: formatLsn(to),
      fromTime: range === undefined ? null : formatInstant(range.first),
      toTime: range === undefined ? null : formatInstant(range.last),
      commits: commitCount,
      holes: holes.map((hole) => ({
        fromLsn: formatLsn(hole.fromLsn),
        toLsn: formatLsn(hole.toLsn),
        reason: hole.reason,
      })),
    },
    transactions: accidents.map((accident) => listTransaction(accident, searched)),
    omittedCount,
    histogram: histogram.buckets(mostBuckets).map((bucket) => ({
      from: formatInstant(bucket.from),
      to: formatInstant(bucket.to),
      commits: bucket.commits,
    })),
  }
}

function listTransaction(accident: Accident, { wayBack }: SearchedHistory): FoundTransaction {
  const way = wayBack(accident)
  const { xid, time, endRecordLsn, isAborted, isPrepared, firstLsn, commitsMeanwhile, affectedCount } =
    accident
  return {
    xid: String(xid),
    time: formatInstant(time),
    endLsn: formatLsn(endRecordLsn),
    isAborted,
    isPrepared,
    firstLsn: firstLsn === undefined ? null : formatLsn(firstLsn),
    commitsMeanwhile: commitsMeanwhile ?? null,
    affected: accident.affected.map(listAffected),
    affectedCount,
    restore: way === undefined ? null : { backup: way.backup.label, options: restoreOptions(way) },
  }
}

function listAffected(affected: AffectedRelation): AffectedListing {
  const { effect, rows, database, relation, databaseNamed, whyUnknown } = affected
  const isDatabase = relation === 0
  const named = isDatabase ? databaseNamed : affected.named
  return {
    effect,
    rows: rows === undefined ? null : String(rows),
    database: databaseNamed?.name ?? null,
    databaseOid: String(database),
    ...listName(affected.named),
    files: isDatabase ? null : relationKey(affected),
    whyUnknown: named === undefined ? whyUnknown : null,
  }
}

type NameListing = Pick<AffectedListing, 'schema' | 'name' | 'kind' | 'oid' | 'estimatedRows'>

function listName(named: AffectedRelation['named']): NameListing {
  if (named === undefined) return { schema: null, name: null, kind: null, oid: null, estimatedRows: null }
  const { schema, name, kind, oid, rows } = named
  return { schema, name, kind, oid: String(oid), estimatedRows: rows === undefined ? null : String(rows) }
}
