import { join } from 'node:path'
import { writeSettings } from '../../test/support/initialize-cluster.ts'
import { openServer, type TestServer } from '../../test/support/postgres-server.ts'
import { archiverIdle } from './archiver-idle.ts'
import type { BenchFolder } from './bench-folder.ts'
import type { ServerUser } from '../../test/support/server-user.ts'
import { benchMajor } from './big-cluster.ts'
import { changeBlocks } from './big-cluster-tables.ts'
import type { Contestant } from './contestant.ts'
import { emptyFolder } from './empty-folder.ts'
import { folderSize } from './folder-size.ts'
import { measureProcess, type Command, type Usage } from './measured-process.ts'
import type { Sample } from './samples.ts'
import { settle } from './settle.ts'

export interface BigOptions {
  readonly folder: BenchFolder
  /** Whether nothing may be in the page cache when a measured command starts. */
  readonly isCold: boolean
}

/** The server of the big cluster, archiving to nobody. */
export async function startBigServer(folder: BenchFolder, dataDirectory: string): Promise<TestServer> {
  // Not on the command line, where no file could change it.
  await writeSettings(dataDirectory, { archive_command: '' })
  return openServer({
    dataDirectory,
    major: benchMajor,
    scratch: folder.scratch,
    settings: { archive_mode: 'on', autovacuum: false, shared_buffers: '128MB' },
  })
}

/** One full backup into an empty repository, its restore and its verification, each after the disk has come to rest. */
export async function runBigRound(
  contestant: Contestant,
  server: TestServer,
  { folder: { user }, isCold }: BigOptions,
): Promise<Sample[]> {
  const tool = contestant.name
  const repository = join(contestant.folder, 'repository')
  const targetDirectory = join(contestant.folder, 'restored')
  const measure = async (command: Command, source: string): Promise<Usage> => {
    await settle({ isCold, folders: [source] })
    return measureProcess(command, { user })
  }
  await server.reload({ archive_command: '' })
  await contestant.prepare(server)
  await server.reload({ archive_command: contestant.archiveCommand() })

  const full = await measure(contestant.backup(), join(server.dataDirectory, 'base'))
  await archiverIdle(server)
  const repositoryBytes = await folderSize(repository)
  await server.reload({ archive_command: '' })
  await emptyFolder(targetDirectory, user)
  const restore = await measure(contestant.restore(targetDirectory), repository)
  await emptyFolder(targetDirectory, user)
  const verification = contestant.verify()
  const verify = verification === undefined ? [] : [await measure(verification, repository)]
  await server.reload({ archive_command: contestant.archiveCommand() })
  const increments = await runIncrementals(contestant, server, { measure, user, isCold })
  await server.reload({ archive_command: '' })
  await emptyFolder(contestant.folder, user)

  return [
    { work: isCold ? 'full, cold' : 'full', tool, usage: full, repositoryBytes },
    { work: isCold ? 'restore, cold' : 'restore', tool, usage: restore },
    ...increments,
    ...verify.map((usage): Sample => ({ work: isCold ? 'verify, cold' : 'verify', tool, usage })),
  ]
}

interface Incrementals {
  readonly measure: (command: Command, source: string) => Promise<Usage>
  readonly user: ServerUser
  readonly isCold: boolean
}

const increments = [
  ['incr, 1 %', 0.01],
  ['incr, nothing', 0],
  ['incr, 10 %', 0.1],
] as const

/**
 * After the first incremental, which is not counted, because Holdfast audits it by reading everything: one after a hundredth
 * of the blocks of the big tables has changed, one after that, and one after a tenth has changed.
 */
async function runIncrementals(
  contestant: Contestant,
  server: TestServer,
  { measure, user, isCold }: Incrementals,
): Promise<Sample[]> {
  const repository = join(contestant.folder, 'repository')
  const source = join(server.dataDirectory, 'base')
  await measureProcess(contestant.incremental(), { user })
  const samples: Sample[] = []
  for (const [work, share] of increments) {
    for (const statement of share === 0 ? [] : changeBlocks(share)) await server.query(statement)
    await archiverIdle(server)
    const before = await folderSize(repository)
    const usage = await measure(contestant.incremental(), source)
    await archiverIdle(server)
    const addedBytes = (await folderSize(repository)) - before
    samples.push({ work: isCold ? `${work}, cold` : work, tool: contestant.name, usage, addedBytes })
  }
  return samples
}
