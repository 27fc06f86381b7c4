import type { BenchFolder } from './bench-folder.ts'
import { bigCluster } from './big-cluster.ts'
import { runBigRound, startBigServer } from './big-stage.ts'
import { runChain } from './chain-stage.ts'
import type { Contestant } from './contestant.ts'
import type { Options } from './options.ts'
import { localCopies, replay } from './replay-stage.ts'
import type { Sample } from './samples.ts'
import { floor } from './targets.ts'
import { walCluster } from './wal-cluster.ts'
import { drainArchive, pushOneByOne, startWalServer } from './wal-stage.ts'

export interface Bench {
  readonly options: Options
  readonly folder: BenchFolder
  /** Every tool once, for everything that is not about archiving. */
  readonly tools: readonly Contestant[]
  /** Every way of archiving. */
  readonly archivers: readonly Contestant[]
  readonly report: (line: string) => void
}

/** How many single pushes of each tool are timed in all rounds together: enough for a 99th percentile. */
const singlePushes = 110

/** Backup, restore and verification of the big cluster: each tool once in a round, and who begins changes. */
export async function runFileRounds(bench: Bench): Promise<Sample[]> {
  const { options, folder, tools } = bench
  await using server = await startBigServer(folder, await bigCluster(folder))
  const samples: Sample[] = []
  for (const isCold of options.isCold ? [false, true] : [false]) {
    for (let round = 0; round < options.rounds; round += 1) {
      for (const tool of inTurn(tools, round)) {
        samples.push(...tell(bench, await runBigRound(tool, server, { folder, isCold })))
      }
    }
  }
  await server.stop()
  return samples
}

/** Thirty incremental backups of the big cluster by each tool, and restores from the last. */
export async function runChains(bench: Bench): Promise<Sample[]> {
  const { options, folder, tools } = bench
  await using server = await startBigServer(folder, await bigCluster(folder))
  const samples: Sample[] = []
  for (const tool of tools) {
    samples.push(...tell(bench, await runChain(tool, server, { folder, rounds: options.rounds })))
  }
  await server.stop()
  return samples
}

/** The archive of the small cluster's work: pushed one by one, then by the archiver, then given back to a recovery. */
export async function runWalRounds(bench: Bench): Promise<Sample[]> {
  const { options } = bench
  const samples: Sample[] = []
  for (let round = 0; round < options.rounds; round += 1) {
    samples.push(...(await pushAll(bench, round)))
    if (options.stages.includes('replay')) samples.push(...(await replayAll(bench, round)))
  }
  return samples
}

async function pushAll(bench: Bench, round: number): Promise<Sample[]> {
  const { folder, options, archivers, tools } = bench
  const wal = await walCluster(folder)
  const samples: Sample[] = []
  await using server = await startWalServer(folder, wal)
  const few = wal.segments.slice(0, Math.ceil(singlePushes / options.rounds))
  if (options.stages.includes('archive')) {
    for (const tool of inTurn(tools, round)) {
      const seconds = await pushOneByOne(tool, server, few)
      const singles = seconds.map((wallSeconds): Sample => ({
        work: 'one push',
        tool: tool.name,
        usage: { wallSeconds },
      }))
      samples.push(...singles)
      tell(bench, singles.slice(0, 1))
    }
  }
  for (const tool of inTurn(archivers, round)) {
    const usage = await drainArchive(tool, server, wal.segments)
    const segments = wal.segments.length
    samples.push(...tell(bench, [{ work: 'archive-push', tool: tool.name, usage, segments }]))
  }
  await server.stop()
  return samples
}

/** What `pushAll` has left in the repositories. */
async function replayAll(bench: Bench, round: number): Promise<Sample[]> {
  const { folder, archivers } = bench
  const wal = await walCluster(folder)
  const copies = { tool: floor, feed: await localCopies(folder, wal) }
  const feeds = archivers.map((tool) => ({ tool: tool.name, feed: tool }))
  const samples: Sample[] = []
  for (const { tool, feed } of inTurn([copies, ...feeds], round)) {
    const usage = await replay(feed, folder, wal)
    samples.push(...tell(bench, [{ work: 'replay', tool, usage, segments: wal.segments.length }]))
  }
  return samples
}

function inTurn<T>(items: readonly T[], round: number): readonly T[] {
  return round % 2 === 0 ? items : items.toReversed()
}

function tell({ report }: Bench, samples: readonly Sample[]): readonly Sample[] {
  for (const { work, tool, usage } of samples) {
    const cpu = usage.cpuSeconds === undefined ? '' : `, ${usage.cpuSeconds.toFixed(2)} s of CPU`
    report(`${work}, ${tool}: ${usage.wallSeconds.toFixed(2)} s${cpu}`)
  }
  return samples
}
