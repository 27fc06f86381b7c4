import type { ArchivePlace } from '../archive/archive-place.ts'
import type { Lsn } from '../domain/lsn.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { Instant } from '../domain/target-time.ts'
import type { NamedDatabase, NamedRelation } from '../repository/name-list.ts'
import { relationKey, type RelationId } from '../wal/row-counts.ts'
import { CommitHistogram } from './commit-histogram.ts'
import { judgeTransaction, type AffectedFiles, type Effect } from './judge-transaction.ts'
import { findBirthNames } from './birth-names.ts'
import { findDatabaseMark } from './find-database-mark.ts'
import { FollowedNames } from './followed-names.ts'
import { nameRelations } from './name-relations.ts'
import { MadeFiles } from './made-files.ts'
import { momentOf, type EndedTransaction, type PastTransaction } from './past-transaction.ts'
import { TransactionFold } from './transaction-fold.ts'
import type { WalWay } from './scan-records.ts'
import { walkWal, type WalHole, type WalkRequest } from './walk-wal.ts'

/** What is looked for. `rewrite`: relations that got new files and kept their rows, which is no accident. */
export type AccidentKind = 'drop' | 'truncate' | 'delete' | 'update' | 'rewrite'

export interface FindRequest extends WalkRequest {
  readonly kinds: ReadonlySet<AccidentKind>
  /** Fewer deleted or updated rows of one relation are not told. At least 1. */
  readonly minRows: number
  /** Of the end of the transaction. */
  readonly since: Instant | undefined
  readonly until: Instant | undefined
  /** NAME, SCHEMA.NAME or DATABASE.SCHEMA.NAME. */
  readonly table: string | undefined
  /** Whether transactions that were rolled back are told too. */
  readonly withAborted: boolean
}

/** A relation, or with relation 0 a database, and what was done to it. */
export interface AffectedRelation extends AffectedFiles {
  /** Undefined: `whyUnknown` says why. */
  readonly named: NamedRelation | undefined
  readonly databaseNamed: NamedDatabase | undefined
  readonly whyUnknown: string
}

/** A transaction that did what is looked for. */
export interface Accident extends EndedTransaction {
  /** The worst first. Not empty. */
  readonly affected: readonly AffectedRelation[]
  /** How many there are; `affected` has only the first of very many. */
  readonly affectedCount: number
}

export interface FoundAccidents {
  /** Newest first. */
  readonly accidents: readonly Accident[]
  /** How many older ones were left out, because there are very many. */
  readonly omittedCount: number
  /** WAL of which nothing is known. */
  readonly holes: readonly WalHole[]
  readonly commitCount: number
  readonly histogram: CommitHistogram
}

/** Bounds on memory: nobody reads more. */
const mostAccidents = 20_000
const mostAffected = 500

const kindOf: Readonly<Record<Effect, AccidentKind>> = {
  'database-dropped': 'drop',
  dropped: 'drop',
  truncated: 'truncate',
  deleted: 'delete',
  updated: 'update',
  rewritten: 'rewrite',
  'database-moved': 'rewrite',
}
/** The worst first. */
const severity = Object.keys(kindOf)

interface Candidate {
  readonly transaction: PastTransaction
  readonly files: readonly AffectedFiles[]
}

/**
 * Finds what was done to the data along a way through the WAL, newest first: out of the indexes of its segments, so that a
 * day of WAL takes seconds. Names are those that backups have stored.
 */
export async function findAccidents(
  request: FindRequest,
  place: ArchivePlace,
  context: RunContext,
): Promise<FoundAccidents> {
  const { minRows } = request
  const candidates: Candidate[] = []
  let omittedCount = 0
  const fold = new TransactionFold({
    minRows,
    take: (transaction) => {
      const files = judgeTransaction(transaction, minRows)
      if (files.some(({ effect }) => isKept(effect, transaction, request)))
        candidates.push({ transaction, files })
      if (candidates.length < 2 * mostAccidents) return
      omittedCount += mostAccidents
      candidates.splice(0, mostAccidents)
    },
  })
  const histogram = new CommitHistogram()
  const madeFiles = new MadeFiles()
  const holes: WalHole[] = []
  await walkWal(
    request,
    {
      place,
      take: (facts) => {
        histogram.add(facts.transactions)
        madeFiles.add(facts)
        fold.add(facts)
      },
      breakOff: (hole) => {
        fold.breakOff()
        holes.push(hole)
      },
      advance: (done, total) =>
        context.report({
          kind: 'progress',
          phase: 'reading the indexes of the WAL',
          done,
          total,
          unit: 'segments',
        }),
    },
    context,
  )
  const wanted = candidates.flatMap(wantedNames)
  const lists = await nameRelations(wanted, { history: request.history, place }, context)
  const replaced = new Set(candidates.flatMap(replacingFiles).map(relationKey))
  const unnamed = wanted.filter(
    (each) => lists.relation(each) === undefined && !replaced.has(relationKey(each)),
  )
  const schemaName = lists.schema
  const births = await findBirthNames(madeFiles.of(unnamed), { way: request, place, schemaName }, context)
  const names = new FollowedNames(lists, births)
  const described = candidates.flatMap((candidate) => describe(candidate, names, request)).toReversed()
  const accidents = await beforeMarks(described, { way: request, place }, context)
  return { accidents, omittedCount, holes, commitCount: fold.commitCount, histogram }
}

/**
 * What a transaction made in place of files that it did away with. Its relations were made before, so that no new row of
 * pg_class names it.
 */
function replacingFiles({ transaction: { madeFiles }, files }: Candidate): readonly RelationId[] {
  const gone = files.filter(({ effect }) => effect === 'truncated' || effect === 'rewritten')
  return gone.length > 0 && madeFiles.length === gone.length ? madeFiles : []
}

/** Each takes a fifth of a second; who drops many databases wants none of them back. */
const mostMarks = 100

/** The moment before a database was dropped is the one before it was marked as going. */
async function beforeMarks(
  newestFirst: readonly Accident[],
  wal: WalWay,
  context: RunContext,
): Promise<readonly Accident[]> {
  const accidents: Accident[] = []
  let marks = 0
  for (const accident of newestFirst) {
    const isDrop = accident.affected[0]?.effect === 'database-dropped'
    accidents.push(isDrop && marks < mostMarks ? await beforeMark(accident, wal, context) : accident)
    if (isDrop) marks += 1
  }
  return accidents
}

async function beforeMark(accident: Accident, wal: WalWay, context: RunContext): Promise<Accident> {
  const { firstLsn, commitsMeanwhile = 0 } = accident
  const mark = firstLsn && (await findDatabaseMark(firstLsn, wal, context))
  if (mark === undefined) return accident
  return { ...accident, firstLsn: mark.lsn, commitsMeanwhile: commitsMeanwhile + mark.commitsMeanwhile }
}

function isWithin(
  { ended: { time, isAborted } }: PastTransaction,
  { since, until, withAborted }: FindRequest,
): boolean {
  const isInTime = (since === undefined || time >= since) && (until === undefined || time <= until)
  return isInTime && (withAborted || !isAborted)
}

/** What gave a relation new files is kept whatever is looked for: it tells what these are called. */
const isKept = (effect: Effect, transaction: PastTransaction, request: FindRequest): boolean =>
  effect === 'truncated' ||
  effect === 'rewritten' ||
  (request.kinds.has(kindOf[effect]) && isWithin(transaction, request))

const wantedNames = ({ transaction, files }: Candidate): readonly (AffectedFiles & { readonly at: Lsn })[] =>
  files.map((file) => ({ ...file, at: momentOf(transaction) }))

/** Nothing when all that it did was to relations that nobody would miss, or that were not asked for. */
function describe(
  { transaction, files }: Candidate,
  names: FollowedNames,
  request: FindRequest,
): readonly Accident[] {
  const { kinds, table } = request
  const at = momentOf(transaction)
  names.follow(transaction, files)
  if (!isWithin(transaction, request)) return []
  const affected = files
    .filter(({ effect }) => kinds.has(kindOf[effect]))
    .map((file) => nameFiles(file, at, names))
    .filter((relation) => isOwnData(relation) && isAsked(relation, table))
    .toSorted((one, other) => severity.indexOf(one.effect) - severity.indexOf(other.effect))
  if (affected.length === 0) return []
  return [{ ...transaction.ended, affected: affected.slice(0, mostAffected), affectedCount: affected.length }]
}

function nameFiles(file: AffectedFiles, at: Lsn, names: FollowedNames): AffectedRelation {
  const wanted = { ...file, at }
  return {
    ...file,
    named: names.relation(wanted),
    databaseNamed: names.database(wanted),
    whyUnknown: names.whyUnknown(wanted),
  }
}

/** Indexes, TOAST tables and what belongs to the catalogs go with something that is told. */
function isOwnData({ named, effect }: AffectedRelation): boolean {
  if (named === undefined) return true
  if (named.schema === 'pg_catalog' || 'itI'.includes(named.kind)) return false
  // A sequence gets new files when it is restarted.
  return named.kind !== 'S' || effect === 'dropped'
}

function isAsked({ named, databaseNamed }: AffectedRelation, table: string | undefined): boolean {
  if (table === undefined) return true
  if (named === undefined) return false
  const { schema, name } = named
  return [name, `${schema}.${name}`, `${databaseNamed?.name ?? ''}.${schema}.${name}`].includes(table)
}
