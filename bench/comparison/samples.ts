import type { Usage } from './measured-process.ts'
import { median, quantile } from './statistics.ts'

const works = [
  'full',
  'restore',
  'verify',
  'full, cold',
  'restore, cold',
  'verify, cold',
  'incr, 1 %',
  'incr, 10 %',
  'incr, nothing',
  'incr, 1 %, cold',
  'incr, 10 %, cold',
  'incr, nothing, cold',
  'restore, 30th incr',
  'restore, full after',
  'archive-push',
  'one push',
  'replay',
] as const

export type Work = (typeof works)[number]

/** One measured run. */
export interface Sample {
  readonly work: Work
  readonly tool: string
  readonly usage: Partial<Usage> & Pick<Usage, 'wallSeconds'>
  /** All files of the repository after it. */
  readonly repositoryBytes?: number
  /** By how much they have grown. */
  readonly addedBytes?: number
  readonly segments?: number
}

/** The medians over all runs of one tool at one work. */
export interface Row {
  readonly work: Work
  readonly tool: string
  readonly runs: number
  readonly wallSeconds: number
  readonly wallSecondsP99: number
  readonly cpuSeconds: number | undefined
  readonly memoryBytes: number | undefined
  readonly readBytes: number | undefined
  readonly diskReadBytes: number | undefined
  readonly repositoryBytes: number | undefined
  readonly addedBytes: number | undefined
  readonly segmentsPerSecond: number | undefined
}

/** In the order of `works`, and of the tools' first samples within. */
export function summarize(samples: readonly Sample[]): Row[] {
  const tools = [...new Set(samples.map(({ tool }) => tool))]
  return works.flatMap((work) =>
    tools
      .map((tool) => samples.filter((sample) => sample.work === work && sample.tool === tool))
      .filter((group) => group.length > 0)
      .map(summarizeGroup),
  )
}

function summarizeGroup(group: readonly Sample[]): Row {
  const [first] = group
  if (first === undefined) throw new Error('a group of no samples')
  const wall = group.map(({ usage }) => usage.wallSeconds)
  const typical = (pick: (sample: Sample) => number | undefined): number | undefined => {
    const values = group.map(pick).filter((value) => value !== undefined)
    return values.length === 0 ? undefined : median(values)
  }
  return {
    work: first.work,
    tool: first.tool,
    runs: group.length,
    wallSeconds: median(wall),
    wallSecondsP99: quantile(wall, 0.99),
    cpuSeconds: typical(({ usage }) => usage.cpuSeconds),
    memoryBytes: typical(({ usage }) => usage.memoryBytes),
    readBytes: typical(({ usage }) => usage.readBytes),
    diskReadBytes: typical(({ usage }) => usage.diskReadBytes),
    repositoryBytes: typical(({ repositoryBytes }) => repositoryBytes),
    addedBytes: typical(({ addedBytes }) => addedBytes),
    segmentsPerSecond: typical(({ segments, usage }) =>
      segments === undefined ? undefined : segments / usage.wallSeconds,
    ),
  }
}
