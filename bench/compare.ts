// Holdfast and pgBackRest at the same work on the same machine, in turn. Run: npm run bench -- --help
import { readdir, stat, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createScratch } from '../test/support/scratch.ts'
import { openBenchFolder, type BenchFolder } from './comparison/bench-folder.ts'
import { benchMajor, bigCluster } from './comparison/big-cluster.ts'
import { emptyFolder } from './comparison/empty-folder.ts'
import { holdfastContestant } from './comparison/holdfast-contestant.ts'
import { describeMachine } from './comparison/machine.ts'
import { readOptions, usage, type Options } from './comparison/options.ts'
import { pgBackRestContestant } from './comparison/pgbackrest-contestant.ts'
import { renderReport, writeIntoDocument, type Results } from './comparison/report.ts'
import { runChains, runFileRounds, runWalRounds, type Bench } from './comparison/run-rounds.ts'

const neededBytes = 15e9
const walStages: ReadonlySet<string> = new Set(['archive', 'replay'])
const args = process.argv.slice(2)
if (args.includes('--help')) console.log(usage)
else await compare(readOptions(args))

async function compare(options: Options): Promise<void> {
  await using scratch = await createScratch('bench')
  const folder = await openBenchFolder(options.folder, scratch)
  const startedAt = new Date().toISOString()
  const bench = await openBench(options, folder)
  try {
    bench.report('building the clusters that are not there yet')
    const cluster = await measureCluster(await bigCluster(folder))
    const samples = [
      ...(options.stages.includes('files') ? await runFileRounds(bench) : []),
      ...(options.stages.includes('chain') ? await runChains(bench) : []),
      ...(options.stages.some((stage) => walStages.has(stage)) ? await runWalRounds(bench) : []),
    ]
    await publish({ startedAt, cluster, samples }, bench)
  } finally {
    for (const { folder: left } of bench.archivers) await emptyFolder(left, folder.user)
    for (const left of ['replay', 'copies']) await emptyFolder(join(folder.path, left), folder.user)
  }
}

/** To the results file, into the document and on the screen. */
async function publish(
  measured: Pick<Results, 'startedAt' | 'cluster' | 'samples'>,
  { options, tools }: Bench,
): Promise<void> {
  const results: Results = {
    ...measured,
    command: ['npm run bench', ...(args.length === 0 ? [] : ['--', ...args])].join(' '),
    rounds: options.rounds,
    machine: describeMachine(),
    versions: {
      ...Object.fromEntries(tools.map(({ name, version }) => [name, version])),
      PostgreSQL: String(benchMajor),
    },
  }
  await writeFile(options.resultsFile, `${JSON.stringify(results, undefined, 1)}\n`)
  const report = renderReport(results)
  if (options.document !== undefined) await writeIntoDocument(options.document, report)
  console.log(`\n${report}\n\nAll figures: ${options.resultsFile}`)
}

async function openBench(options: Options, folder: BenchFolder): Promise<Bench> {
  const { bavail, bsize } = await statfs(folder.path)
  if (bavail * bsize < neededBytes)
    throw new Error(`"${folder.path}" has less than ${neededBytes / 1e9} GB left`)
  const { user } = folder
  const begin = performance.now()
  const theirs = { program: options.pgBackRest, user }
  const tools = [
    await holdfastContestant(join(folder.path, 'holdfast'), user),
    await pgBackRestContestant({ ...theirs, folder: join(folder.path, 'pgbackrest'), isAsynchronous: false }),
  ]
  const asynchronous = { ...theirs, folder: join(folder.path, 'pgbackrest-async'), isAsynchronous: true }
  return {
    options,
    folder,
    tools,
    archivers: [...tools, await pgBackRestContestant(asynchronous)],
    report: (line) => {
      console.log(`${((performance.now() - begin) / 1000).toFixed(0).padStart(5)} s  ${line}`)
    },
  }
}

/** What a backup of it reads: everything but the WAL. */
async function measureCluster(dataDirectory: string): Promise<Results['cluster']> {
  let bytes = 0
  let files = 0
  for (const entry of await readdir(dataDirectory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || entry.parentPath.startsWith(join(dataDirectory, 'pg_wal'))) continue
    files += 1
    bytes += (await stat(join(entry.parentPath, entry.name))).size
  }
  return { bytes, files }
}
