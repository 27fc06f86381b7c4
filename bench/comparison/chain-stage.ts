import { join } from 'node:path'
import type { TestServer } from '../../test/support/postgres-server.ts'
import { archiverIdle } from './archiver-idle.ts'
import type { BenchFolder } from './bench-folder.ts'
import { changeBlocks } from './big-cluster-tables.ts'
import type { Contestant } from './contestant.ts'
import { emptyFolder } from './empty-folder.ts'
import { folderSize } from './folder-size.ts'
import { measureProcess, type Usage } from './measured-process.ts'
import type { Sample } from './samples.ts'
import { settle } from './settle.ts'

/** How many incremental backups stand on the full one that the chain begins with. */
const chainLength = 30

export interface ChainOptions {
  readonly folder: BenchFolder
  readonly rounds: number
}

/**
 * Restores from the last of thirty incremental backups, each after other blocks, one in a hundred, have changed, and from a
 * full one that is taken right after it. The repository's size is that of the chain.
 */
export async function runChain(
  contestant: Contestant,
  server: TestServer,
  { folder: { user }, rounds }: ChainOptions,
): Promise<Sample[]> {
  const tool = contestant.name
  const repository = join(contestant.folder, 'repository')
  const targetDirectory = join(contestant.folder, 'restored')
  const restore = async (): Promise<Usage> => {
    await emptyFolder(targetDirectory, user)
    await settle({ isCold: false, folders: [repository] })
    return measureProcess(contestant.restore(targetDirectory), { user })
  }
  await server.reload({ archive_command: '' })
  await contestant.prepare(server)
  await server.reload({ archive_command: contestant.archiveCommand() })
  const samples: Sample[] = []
  await measureProcess(contestant.backup(), { user })
  for (let taken = 0; taken < chainLength; taken += 1) {
    for (const statement of changeBlocks(0.01)) await server.query(statement)
    await measureProcess(contestant.incremental(), { user })
  }
  await archiverIdle(server)
  const repositoryBytes = await folderSize(repository)
  for (let round = 0; round < rounds; round += 1) {
    samples.push({ work: 'restore, 30th incr', tool, usage: await restore(), repositoryBytes })
  }
  await measureProcess(contestant.backup(), { user })
  await archiverIdle(server)
  for (let round = 0; round < rounds; round += 1) {
    samples.push({ work: 'restore, full after', tool, usage: await restore() })
  }
  await server.reload({ archive_command: '' })
  await emptyFolder(contestant.folder, user)
  return samples
}
