// What it costs when every request to the store takes a while: a full backup, its restore and a replay, with a repository in
// a local directory, in a store next door, and in the same store 50 ms away. Run: node bench/latency.ts [--rounds N]
// [--latency MS] [--folder PATH]
import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { S3Endpoint } from '../test/support/s3-endpoint/s3-endpoint.ts'
import { giveTree } from '../test/support/give-tree.ts'
import { createScratch } from '../test/support/scratch.ts'
import { archiverIdle } from './comparison/archiver-idle.ts'
import { openBenchFolder, type BenchFolder } from './comparison/bench-folder.ts'
import { bigCluster } from './comparison/big-cluster.ts'
import { startBigServer } from './comparison/big-stage.ts'
import type { Contestant } from './comparison/contestant.ts'
import { emptyFolder } from './comparison/empty-folder.ts'
import { holdfastContestant } from './comparison/holdfast-contestant.ts'
import { markdownTable } from './comparison/markdown-table.ts'
import { measureProcess } from './comparison/measured-process.ts'
import { localCopies, replay } from './comparison/replay-stage.ts'
import { settle } from './comparison/settle.ts'
import { median } from './comparison/statistics.ts'
import { walCluster } from './comparison/wal-cluster.ts'
import { drainArchive, startWalServer } from './comparison/wal-stage.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    latency: { type: 'string', default: '50' },
    folder: { type: 'string', default: join(tmpdir(), 'holdfast-bench') },
  },
})
const latencyMs = Number(values.latency)

/** Seconds by work and place. */
const seconds = new Map<string, Map<string, number[]>>()

await using scratch = await createScratch('latency')
await using endpoint = await S3Endpoint.start()
endpoint.remembersRequests = false
endpoint.checksSignatures = false
const folder = await openBenchFolder(values.folder, scratch)
const secretFolder = await scratch.makeFolder('secret')
const secretFile = join(secretFolder, 'key')
await writeFile(secretFile, endpoint.keys.secretAccessKey, { mode: 0o600 })
await giveTree(secretFolder, folder.user)
const places = [
  { latency: 0, tool: await holdfastContestant(join(folder.path, 'holdfast'), folder.user) },
  { latency: 0, tool: await inStore('S3, 0 ms') },
  { latency: latencyMs, tool: await inStore(`S3, ${latencyMs} ms`) },
]
for (let round = 0; round < Number(values.rounds); round += 1) {
  await measureFiles(folder)
  await measureReplay(folder)
}
console.log(`\n${table()}`)

function inStore(name: string): Promise<Contestant> {
  const settings = {
    endpoint: endpoint.url,
    region: 'us-east-1',
    'access-key-id': endpoint.keys.accessKeyId,
    'secret-key-file': secretFile,
  }
  const options = [
    '--repo=s3:bucket',
    ...Object.entries(settings).map(([setting, value]) => `--s3=${setting}=${value}`),
  ]
  const clear = (): void => endpoint.objects.clear()
  return holdfastContestant(join(folder.path, 'holdfast'), folder.user, { name, options, clear })
}

async function measureFiles({ user }: BenchFolder): Promise<void> {
  await using server = await startBigServer(folder, await bigCluster(folder))
  for (const { latency, tool } of places) {
    const targetDirectory = join(tool.folder, 'restored')
    await server.reload({ archive_command: '' })
    endpoint.latencyMs = 0
    await tool.prepare(server)
    endpoint.latencyMs = latency
    await server.reload({ archive_command: tool.archiveCommand() })
    await settle({ isCold: false, folders: [join(server.dataDirectory, 'base')] })
    note('full', tool, (await measureProcess(tool.backup(), { user })).wallSeconds)
    await archiverIdle(server)
    await server.reload({ archive_command: '' })
    await emptyFolder(targetDirectory, user)
    await settle({ isCold: false, folders: [] })
    note('restore', tool, (await measureProcess(tool.restore(targetDirectory), { user })).wallSeconds)
    await emptyFolder(tool.folder, user)
  }
  await server.stop()
}

async function measureReplay(bench: BenchFolder): Promise<void> {
  const wal = await walCluster(bench)
  note('replay', { name: 'cp' }, (await replay(await localCopies(bench, wal), bench, wal)).wallSeconds)
  await using server = await startWalServer(bench, wal)
  for (const { latency, tool } of places) {
    endpoint.latencyMs = latency
    note('archive-push', tool, (await drainArchive(tool, server, wal.segments)).wallSeconds)
    note('replay', tool, (await replay(tool, bench, wal)).wallSeconds)
  }
  await server.stop()
}

function note(work: string, { name }: Pick<Contestant, 'name'>, wallSeconds: number): void {
  const byPlace = seconds.get(work) ?? new Map<string, number[]>()
  seconds.set(work, byPlace)
  byPlace.set(name, [...(byPlace.get(name) ?? []), wallSeconds])
  console.log(`${work}, ${name}: ${wallSeconds.toFixed(2)} s`)
}

function table(): string {
  const rows = [...seconds].flatMap(([work, byPlace]) => {
    const local = median(byPlace.get('Holdfast') ?? [])
    return [...byPlace].map(([place, measured]) => [
      work,
      place === 'Holdfast' ? 'directory' : place,
      `${median(measured).toFixed(2)} s`,
      (median(measured) / local).toFixed(2),
    ])
  })
  return markdownTable(['work', 'repository', 'time', 'of local'], rows)
}
