import type { Row, Work } from './samples.ts'

/** What a figure of ours is compared with, and what it has to be. */
export interface Finding {
  readonly work: Work
  readonly what: string
  readonly reached: string
  readonly toReach: string
  readonly holds: boolean
}

const ours = 'Holdfast'
export const floor = 'cp'

const chainShare = 1.2
const fullBackups: ReadonlySet<Work> = new Set(['full', 'full, cold'])

const mostMemoryBytes = 256 * 1024 * 1024

/** What replay may take longer than with `cp`: less than two runs of the same differ. */
const replayTolerance = 1.05

/** Against the fastest of the others; archive-push also against their asynchronous kind. */
export function judge(rows: readonly Row[]): Finding[] {
  return [
    ...wallFindings(rows, {
      full: 0.65,
      restore: 0.75,
      'full, cold': 0.65,
      'restore, cold': 0.75,
      'incr, 1 %': 0.5,
      'incr, 1 %, cold': 0.1,
    }),
    ...idleFindings(rows),
    ...chainFindings(rows),
    ...sizeFindings(rows),
    ...pushFindings(rows),
    ...replayFindings(rows),
    ...memoryFindings(rows),
  ]
}

function wallFindings(rows: readonly Row[], limits: Partial<Record<Work, number>>): Finding[] {
  return pairs(rows).flatMap(({ mine, best }) => {
    const limit = limits[mine.work]
    if (limit === undefined) return []
    const share = mine.wallSeconds / best.wallSeconds
    const toReach = `at most ${limit.toFixed(2)}`
    return [
      {
        work: mine.work,
        what: 'share of its time',
        reached: share.toFixed(2),
        toReach,
        holds: share <= limit,
      },
    ]
  })
}

/** An incremental backup after nothing has changed. */
function idleFindings(rows: readonly Row[]): Finding[] {
  const mine = find(rows, 'incr, nothing', ours)
  if (mine === undefined) return []
  const { work, wallSeconds } = mine
  const reached = wallSeconds.toFixed(2)
  return [{ work, what: 'seconds', reached, toReach: 'less than 1', holds: wallSeconds < 1 }]
}

/** A restore from the thirtieth incremental, against our own from a full backup of the same cluster. */
function chainFindings(rows: readonly Row[]): Finding[] {
  const mine = find(rows, 'restore, 30th incr', ours)
  const full = find(rows, 'restore, full after', ours)
  if (mine === undefined || full === undefined) return []
  const share = mine.wallSeconds / full.wallSeconds
  const [what, reached] = ['share of our time from a full', share.toFixed(2)]
  return [{ work: mine.work, what, reached, toReach: `at most ${chainShare}`, holds: share <= chainShare }]
}

function sizeFindings(rows: readonly Row[]): Finding[] {
  return pairs(rows).flatMap(({ mine, best }) => {
    if (
      !fullBackups.has(mine.work) ||
      mine.repositoryBytes === undefined ||
      best.repositoryBytes === undefined
    )
      return []
    const share = mine.repositoryBytes / best.repositoryBytes
    const reached = share.toFixed(3)
    return [
      { work: mine.work, what: 'share of its repository', reached, toReach: 'at most 1', holds: share <= 1 },
    ]
  })
}

function pushFindings(rows: readonly Row[]): Finding[] {
  return pairs(rows).flatMap(({ mine, best }) => {
    if (mine.work !== 'archive-push') return []
    const times = best.wallSeconds / mine.wallSeconds
    const what = 'times its segments per second'
    return [{ work: mine.work, what, reached: times.toFixed(2), toReach: 'at least 2', holds: times >= 2 }]
  })
}

function replayFindings(rows: readonly Row[]): Finding[] {
  const mine = find(rows, 'replay', ours)
  const least = find(rows, 'replay', floor)
  if (mine === undefined || least === undefined) return []
  const share = mine.wallSeconds / least.wallSeconds
  const what = 'share of the time with cp'
  const toReach = `at most ${replayTolerance}`
  return [{ work: 'replay', what, reached: share.toFixed(2), toReach, holds: share <= replayTolerance }]
}

function memoryFindings(rows: readonly Row[]): Finding[] {
  return rows
    .filter(({ tool }) => tool === ours)
    .flatMap(({ work, memoryBytes }) => {
      if (memoryBytes === undefined) return []
      const reached = `${Math.round(memoryBytes / 1024 / 1024)} MiB`
      const holds = memoryBytes <= mostMemoryBytes
      return [{ work, what: 'peak memory', reached, toReach: 'at most 256 MiB', holds }]
    })
}

/** Ours and the fastest of theirs at the same work. */
function pairs(rows: readonly Row[]): { readonly mine: Row; readonly best: Row }[] {
  return rows
    .filter(({ tool }) => tool === ours)
    .flatMap((mine) => {
      const others = rows.filter(({ work, tool }) => work === mine.work && tool !== ours && tool !== floor)
      const [best] = others.toSorted((one, other) => one.wallSeconds - other.wallSeconds)
      return best === undefined ? [] : [{ mine, best }]
    })
}

function find(rows: readonly Row[], work: Work, tool: string): Row | undefined {
  return rows.find((row) => row.work === work && row.tool === tool)
}
