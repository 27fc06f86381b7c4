import type { DescribedDump } from '../../app/describe-dump.ts'
import { storedBytesOf } from '../../repository/dump-head.ts'
import type { DescribedRepo } from '../../app/describe-cluster.ts'
import { formatByteSize } from '../../domain/byte-size.ts'
import { formatDuration } from '../../domain/duration.ts'
import { formatInstant, instantFromMs, type Instant } from '../../domain/target-time.ts'
import type { DumpDrillReport } from '../../drill/dump-drill-report.ts'
import type { DumpEntry, ListedDump } from '../../repository/dump-entry.ts'
import { damagedLabels } from '../../verify/verify-state.ts'
import { formatTable } from './table.ts'
import { formatAge, printable, type Style } from './text.ts'

/** So many databases are named in a row. */
const mostNamed = 3

const dumpColumns = [
  { title: 'label' },
  { title: 'ended' },
  { title: 'took', align: 'right' },
  { title: 'databases' },
  { title: 'formats' },
  { title: 'size', align: 'right' },
  { title: 'stored', align: 'right' },
  { title: 'state' },
] as const

/** The listed dumps, a row for each. */
export function dumpTable(
  { dumps, integrity }: Pick<DescribedRepo, 'dumps' | 'integrity'>,
  { now, style }: { readonly now: number; readonly style: Style },
): string {
  const damaged = damagedLabels(integrity)
  const stateOf = ({ label, isPinned }: ListedDump): string =>
    [damaged.has(label) ? 'DAMAGED' : 'ok', ...(isPinned ? ['pinned'] : [])].join(', ')
  const rows = dumps.map((dump) => [
    dump.label,
    formatAge(now - toMs(dump.stoppedAt)),
    tookText(dump),
    databasesText(dump),
    dump.formats.map(printable).join(', '),
    formatByteSize(dump.rawBytes),
    formatByteSize(dump.storedBytes),
    stateOf(dump),
  ])
  return formatTable(dumpColumns, rows, style)
}

const memberColumns = [
  { title: 'member' },
  { title: 'kind' },
  { title: 'database' },
  { title: 'format' },
  { title: 'size', align: 'right' },
  { title: 'stored', align: 'right' },
] as const

/** One dump in detail: its members, and what is known about it. */
export function dumpText(
  { dump, head, drill, cluster, repo, location }: DescribedDump,
  style: Style,
): string {
  const rows: readonly (readonly [string, string])[] = [
    ['dump', `${dump.label} of cluster ${cluster}${dump.isPinned ? ', pinned' : ''}`],
    ['repo', `${repo}, ${printable(location)}`],
    ['began', formatInstant(dump.startedAt)],
    ['ended', `${formatInstant(dump.stoppedAt)} (${tookText(dump)})`],
    ['size', formatByteSize(dump.rawBytes)],
    ['stored', formatByteSize(dump.storedBytes)],
    ['drilled', drill === undefined ? 'never' : drillText(drill)],
    ...Object.entries(head.facts).map(([name, value]) => [printable(name), printable(value)] as const),
  ]
  const width = Math.max(10, ...rows.map(([title]) => title.length))
  const members = head.members.map((member) => [
    printable(member.name),
    member.kind,
    printable(member.database ?? ''),
    member.format,
    formatByteSize(member.rawBytes),
    formatByteSize(storedBytesOf(member)),
  ])
  return [
    ...rows.map(([title, text]) => `${title.padEnd(width)}  ${text}\n`),
    `\n${formatTable(memberColumns, members, style)}`,
  ].join('')
}

/** The first few by name, and how many more. */
export function databasesText({ databases, databaseCount }: DumpEntry): string {
  const named = databases.slice(0, mostNamed)
  const more = databaseCount - named.length
  const text = named.map(printable).join(', ')
  return more > 0 ? `${text} and ${more} more` : text
}

const drillText = ({ outcome, beganAtMs }: DumpDrillReport): string =>
  `${outcome === 'not-proven' ? 'not proven' : outcome}, ${formatInstant(instantFromMs(beganAtMs))}`

const tookText = ({ startedAt, stoppedAt }: DumpEntry): string =>
  formatDuration(toMs(stoppedAt) - toMs(startedAt))

const toMs = (instant: Instant): number => Number(instant / 1000n)
