import { formatByteSize } from '../../domain/byte-size.ts'
import { formatDuration } from '../../domain/duration.ts'
import type { DumpDrillReport } from '../../drill/dump-drill-report.ts'
import { drillCheckText, outcomeMarks } from './drill-check-text.ts'
import { formatTable } from './table.ts'
import { printable, type Style } from './text.ts'

const columns = [
  { title: 'database' },
  { title: 'size', align: 'right' },
  { title: 'tables', align: 'right' },
  { title: 'rows', align: 'right' },
  { title: 'loaded in', align: 'right' },
] as const

/** What came of the load of a dump that was tried. */
export function dumpDrillText(report: DumpDrillReport, style: Style): string {
  const { label, outcome, checks, databases, serverVersion, loadMs, checkMs } = report
  const [colour, mark] = outcomeMarks[outcome]
  const rows = databases.map(({ database, rawBytes, tables, rows: rowCount, loadMs: tookMs }) => [
    printable(database),
    formatByteSize(rawBytes),
    tables.toLocaleString('en-US'),
    rowCount.toLocaleString('en-US'),
    formatDuration(tookMs),
  ])
  const into = serverVersion === undefined ? '' : `, into PostgreSQL ${printable(serverVersion)}`
  return [
    ...checks.map((check) => drillCheckText(check, style)),
    rows.length === 0 ? '' : `\n${formatTable(columns, rows, style)}\n`,
    `took ${formatDuration(loadMs + checkMs)}: ${formatDuration(loadMs)} to load, ${formatDuration(checkMs)} to check\n`,
    `${style(colour, mark.trim())}: dump ${label}${into}\n`,
  ].join('')
}
