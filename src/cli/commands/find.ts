import { InvalidArgumentError, Option, type Command } from 'commander'
import { restoreOptions, type SearchedHistory } from '../../app/search-history.ts'
import { parseDurationMs } from '../../domain/duration.ts'
import { formatLsn } from '../../domain/lsn.ts'
import { operationErrors } from '../../domain/operation-error.ts'
import { formatInstant, instantFromMs, parseTargetTime, type Instant } from '../../domain/target-time.ts'
import { toTimelineId, type TimelineId } from '../../domain/timeline.ts'
import type { Accident, AccidentKind, AffectedRelation } from '../../history/find-accidents.ts'
import type { Effect } from '../../history/judge-transaction.ts'
import { loadAsOwner } from '../become-owner.ts'
import type { CommandEnvironment } from '../command-environment.ts'
import { printable, type Style } from '../output/text.ts'

interface FindOptions {
  readonly since?: string
  readonly until?: string
  readonly table?: string
  readonly kind: string
  readonly minRows: number
  readonly aborted?: true
  readonly timeline?: TimelineId
  readonly limit: number
}

const accidents = ['drop', 'truncate', 'delete', 'update'] as const
const defaultMinRows = 100
const defaultLimit = 20

/** `find`: what was done to the data, and how to come to the moment before. */
export function registerFind(program: Command, environment: CommandEnvironment): void {
  program
    .command('find')
    .description('find what was dropped, truncated, deleted or updated, and the moment before it')
    .option('--since <time>', 'ended at or after this moment, or so long ago: 2h')
    .option('--until <time>', 'ended at or before this moment, or so long ago')
    .option('--table <name>', 'NAME, SCHEMA.NAME or DATABASE.SCHEMA.NAME')
    .addOption(
      new Option('--kind <kind>', 'what to look for; "all" tells rewrites too')
        .choices([...accidents, 'rewrite', 'all'])
        .default('accidents', accidents.join(', ')),
    )
    .option('--min-rows <count>', 'fewer deleted or updated rows are not told', readCount, defaultMinRows)
    .option('--aborted', 'tell transactions that were rolled back, too')
    .option('--timeline <number>', 'look along this timeline; default: the newest', readTimeline)
    .option('--limit <count>', 'show so many, the newest', readCount, defaultLimit)
    .action((options: FindOptions) => find(options, environment))
}

async function find(options: FindOptions, environment: CommandEnvironment): Promise<void> {
  const now = environment.context.clock.now()
  const wanted = {
    kinds: kindsOf(options.kind),
    minRows: options.minRows,
    since: readMoment(options.since, now),
    until: readMoment(options.until, now),
    table: options.table,
    withAborted: options.aborted === true,
    timeline: options.timeline,
  }
  const { configuration } = await loadAsOwner(environment)
  const [{ searchHistory }, { listFound }] = await Promise.all([
    import('../../app/search-history.ts'),
    import('../../app/list-found.ts'),
  ])
  const { cluster: clusterName, repo: repoName } = environment.options
  const searched = await searchHistory(
    { configuration, clusterName, repoName, ...wanted },
    environment.context,
  )
  environment.answer({
    document: listFound(searched),
    text: (style) => toText(searched, { options, style }),
  })
  if (searched.accidents.length === 0) environment.exitWith(operationErrors['not-found'].exitCode)
}

function kindsOf(kind: string): ReadonlySet<AccidentKind> {
  const all: readonly AccidentKind[] = [...accidents, 'rewrite']
  if (kind === 'all') return new Set(all)
  return new Set(kind === 'accidents' ? accidents : all.filter((each) => each === kind))
}

function readMoment(text: string | undefined, now: number): Instant | undefined {
  if (text === undefined) return undefined
  const isDuration = /^\d+(?:ms|s|m|h|d|w)$/.test(text)
  return isDuration ? instantFromMs(now - parseDurationMs(text)) : parseTargetTime(text)
}

function readCount(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('Expected a count, such as 100.')
  return Number(text)
}

function readTimeline(text: string): TimelineId {
  if (!/^[1-9]\d{0,9}$/.test(text)) throw new InvalidArgumentError('Expected a number, such as 2.')
  return toTimelineId(Number(text))
}

interface Look {
  readonly options: FindOptions
  readonly style: Style
}

function toText(searched: SearchedHistory, look: Look): string {
  const { accidents: found, omittedCount } = searched
  const shown = found.slice(0, look.options.limit)
  const older = found.length - shown.length + omittedCount
  return [
    ...shown.map((accident) => accidentText(accident, searched, look)),
    found.length === 0 ? `nothing of at least ${look.options.minRows} rows was found\n` : '',
    older > 0
      ? `${older} older ones are not shown: narrow it with --since, --table or --kind, or raise --limit\n`
      : '',
    searchedText(searched, look),
  ].join('')
}

function accidentText(accident: Accident, { wayBack }: SearchedHistory, { style }: Look): string {
  const { time, xid, firstLsn, endRecordLsn, affected, affectedCount, isAborted } = accident
  const shown = affected.slice(0, 5).map((relation) => `  ${affectedText(relation, style)}\n`)
  const more = affectedCount - shown.length
  const began = firstLsn === undefined ? 'began before the WAL that was read' : `LSN ${formatLsn(firstLsn)}`
  const way = wayBack(accident)
  return [
    `${style('bold', timeText(time))}  transaction ${xid}${isAborted ? style('yellow', ', rolled back') : ''}: `,
    `${began}, ended at ${formatLsn(endRecordLsn)}\n`,
    ...shown,
    more > 0 ? `  and ${more} more\n` : '',
    meanwhileText(accident),
    way === undefined
      ? '  no backup leads to the moment before it\n'
      : `  the moment before: holdfast restore --target-dir DIR ${restoreOptions(way).join(' ')}\n`,
    '\n',
  ].join('')
}

function meanwhileText({ commitsMeanwhile = 0 }: Accident): string {
  if (commitsMeanwhile === 0) return ''
  return `  ${commitsMeanwhile} other ${commitsMeanwhile === 1 ? 'transaction was' : 'transactions were'} committed while it ran: the moment before it has none of them\n`
}

const words: Readonly<Record<Effect, string>> = {
  dropped: 'dropped',
  truncated: 'truncated',
  rewritten: 'rewritten',
  deleted: 'deleted',
  updated: 'updated',
  'database-dropped': 'dropped the database',
  'database-moved': 'moved the database',
}

function affectedText(affected: AffectedRelation, style: Style): string {
  const { effect, rows, named } = affected
  const counted = rows === undefined ? '' : ` ${rows} rows of`
  const estimate = rows === undefined && named?.rows !== undefined ? `, about ${named.rows} rows` : ''
  return `${style('red', words[effect])}${counted} ${nameText(affected)}${estimate}`
}

function nameText({
  tablespace,
  database,
  relation,
  named,
  databaseNamed,
  whyUnknown,
}: AffectedRelation): string {
  const inDatabase = databaseNamed === undefined ? `database ${database}` : printable(databaseNamed.name)
  if (relation === 0) return databaseNamed === undefined ? `${database} (${whyUnknown})` : inDatabase
  if (named === undefined)
    return `files ${tablespace}/${database}/${relation} of ${inDatabase} (${printable(whyUnknown)})`
  return printable(`${named.schema}.${named.name} in ${inDatabase}`)
}

/** A line of at most this many characters shows when there was much to do. */
const barCount = 60
const bars = ' ▁▂▃▄▅▆▇█'

function searchedText(
  { from, to, timeline, holes, histogram, commitCount }: SearchedHistory,
  { style }: Look,
): string {
  const { range } = histogram
  const times = range === undefined ? '' : `, ${timeText(range.first)} to ${timeText(range.last)}`
  const buckets = histogram.buckets(barCount)
  const most = Math.max(...buckets.map(({ commits }) => commits), 1)
  const line = buckets.map(({ commits }) => bars[Math.ceil((commits / most) * (bars.length - 1))]).join('')
  return [
    `searched: timeline ${timeline}, LSN ${formatLsn(from)} to ${formatLsn(to)}${times}, ${commitCount} commits\n`,
    ...(range === undefined ? [] : [`commits:  |${line}|\n`]),
    ...holes.map((hole) =>
      style(
        'yellow',
        `not known: LSN ${formatLsn(hole.fromLsn)} to ${formatLsn(hole.toLsn)}: ${printable(hole.reason)}\n`,
      ),
    ),
  ].join('')
}

const timeText = (instant: Instant): string =>
  `${formatInstant(instant).replace('T', ' ').replace('Z', '')} UTC`
