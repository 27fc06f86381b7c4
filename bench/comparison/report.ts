import { readFile, writeFile } from 'node:fs/promises'
import type { Machine } from './machine.ts'
import { markdownTable } from './markdown-table.ts'
import { summarize, type Row, type Sample } from './samples.ts'
import { judge, type Finding } from './targets.ts'

export interface Results {
  readonly startedAt: string
  readonly command: string
  readonly rounds: number
  readonly machine: Machine
  /** Every tool with its version, PostgreSQL too. */
  readonly versions: Readonly<Record<string, string>>
  /** What was backed up. */
  readonly cluster: { readonly bytes: number; readonly files: number }
  readonly samples: readonly Sample[]
}

const marks = { begin: '<!-- bench:begin -->', end: '<!-- bench:end -->' }

/** Everything that a run found out, for people: the same on the screen and in the documentation. */
export function renderReport(results: Results): string {
  const rows = summarize(results.samples)
  const findings = judge(rows)
  return [conditions(results), figureTable(rows), targetTable(findings), shortfalls(findings)].join('\n\n')
}

/** Puts the text between the two marks of the document; what was written by hand around them stays. */
export async function writeIntoDocument(path: string, text: string): Promise<void> {
  const document = await readFile(path, 'utf8')
  const begin = document.indexOf(marks.begin)
  const end = document.indexOf(marks.end)
  if (begin < 0 || end < begin)
    throw new Error(`"${path}" has no "${marks.begin}" with a "${marks.end}" behind it`)
  const before = document.slice(0, begin + marks.begin.length)
  await writeFile(path, `${before}\n\n${text}\n\n${document.slice(end)}`)
}

function conditions({ startedAt, rounds, machine, versions, cluster, command }: Results): string {
  const tools = Object.entries(versions).map(([tool, version]) => `${tool} ${version}`)
  return [
    `- Measured on ${startedAt.slice(0, 10)} with \`${command}\`: ${rounds === 1 ? 'one round' : `medians of ${rounds} rounds`}.`,
    `- ${tools.join(', ')}, Node ${machine.node}.`,
    `- ${machine.processor}, ${machine.cores} cores, ${Math.round(machine.memoryBytes / 2 ** 30)} GiB of memory,`,
    `  ${machine.distribution}, Linux ${machine.kernel}.`,
    `- The cluster has ${(cluster.bytes / 1e9).toFixed(2)} GB in ${cluster.files.toLocaleString('en-US')} files.`,
  ].join('\n')
}

function figureTable(rows: readonly Row[]): string {
  const header = ['Work', 'Tool', 'Wall s', 'CPU s', 'Memory MB', 'Read MB', 'From disk MB', 'Result']
  return markdownTable(
    header,
    rows.map((row) => [
      row.work,
      row.tool,
      row.wallSeconds.toFixed(row.wallSeconds < 1 ? 3 : 2),
      row.cpuSeconds?.toFixed(2) ?? '',
      megabytes(row.memoryBytes),
      megabytes(row.readBytes),
      megabytes(row.diskReadBytes),
      resultOf(row),
    ]),
  )
}

function resultOf(row: Row): string {
  if (row.work === 'one push') return `p99 ${row.wallSecondsP99.toFixed(3)} s of ${row.runs}`
  if (row.segmentsPerSecond !== undefined) return `${row.segmentsPerSecond.toFixed(1)} segments/s`
  if (row.addedBytes !== undefined) return `${(row.addedBytes / 1e6).toFixed(1)} MB added`
  return row.repositoryBytes === undefined ? '' : `repository ${megabytes(row.repositoryBytes)} MB`
}

function targetTable(findings: readonly Finding[]): string {
  return markdownTable(
    ['Work', 'Measure, against pgBackRest where it is a share', 'Reached', 'To reach', 'Holds'],
    findings.map(({ work, what, reached, toReach, holds }) => [
      work,
      what,
      reached,
      toReach,
      holds ? 'yes' : 'no',
    ]),
  )
}

function shortfalls(findings: readonly Finding[]): string {
  const short = findings.filter(({ holds }) => !holds)
  if (short.length === 0) return 'Nothing falls short.'
  const lines = short.map(
    ({ work, what, reached, toReach }) => `- ${work}: ${what} ${reached}, to reach ${toReach}.`,
  )
  return ['What falls short:', '', ...lines].join('\n')
}

function megabytes(bytes: number | undefined): string {
  return bytes === undefined ? '' : (bytes / 1e6).toFixed(0)
}
