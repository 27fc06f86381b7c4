import { execFile } from 'node:child_process'
import { cp, mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { isWalSegmentName } from '../../../src/domain/wal-segment.ts'
import { ArchiveSite, createArchiveSite } from '../../support/archive-site.ts'
import { giveTree } from '../../support/give-tree.ts'
import { expectOk, runHoldfast, type HoldfastOptions } from '../../support/holdfast.ts'
import { startServer } from '../../support/postgres-server.ts'
import type { Scratch } from '../../support/scratch.ts'

const run = promisify(execFile)

/** A repository with two archived segments, and the folder of a server that waits with the next ones. */
export interface ArchivePlaceForTurn extends AsyncDisposable {
  readonly folder: string
  readonly site: ArchiveSite
  /** A `pg_wal` with every segment in it. */
  readonly walFolder: string
  readonly options: HoldfastOptions
}

export interface ArchiveStage {
  /** In the archive when a turn begins. */
  readonly archived: readonly string[]
  /** Not in the archive, next in line. */
  readonly waiting: readonly string[]
  place(): Promise<ArchivePlaceForTurn>
}

const archivedCount = 2
const waitingCount = 3

/** Small segments of a real server, which is not needed any more. */
export async function createArchiveStage(scratch: Scratch): Promise<ArchiveStage> {
  const { site, walFolder, names } = await writeSegments(scratch)
  const archived = names.slice(0, archivedCount)
  const waiting = names.slice(archivedCount)
  const template = await scratch.makeFolder('template')
  await mkdir(join(template, 'data', 'pg_wal', 'archive_status'), { recursive: true })
  for (const name of names) await cp(join(walFolder, name), join(template, 'data', 'pg_wal', name))
  for (const name of waiting)
    await writeFile(join(template, 'data', 'pg_wal', 'archive_status', `${name}.ready`), '')
  await giveTree(template, scratch.user)
  for (const name of archived) {
    const path = join(template, 'data', 'pg_wal', name)
    expectOk(await runHoldfast(['archive-push', path], { config: site.configFile, asUser: scratch.user }))
  }
  await cp(join(site.folder, 'key'), join(template, 'key'))
  await run('cp', ['-a', site.repositoryFolder, join(template, 'repository')])
  const home = await scratch.makeFolder('home')
  let count = 0
  return {
    archived,
    waiting,
    place: () => openPlace(template, { scratch, home, name: `turn-${(count += 1)}` }),
  }
}

async function openPlace(
  template: string,
  { scratch, home, name }: { readonly scratch: Scratch; readonly home: string; readonly name: string },
): Promise<ArchivePlaceForTurn> {
  const folder = join(scratch.folder, name)
  await run('cp', ['-a', template, folder])
  const site = new ArchiveSite(folder)
  await writeFile(site.configFile, configurationOf(site), { mode: 0o600 })
  await giveTree(folder, scratch.user)
  return {
    folder,
    site,
    walFolder: join(folder, 'data', 'pg_wal'),
    // A home keeps compiled code, which makes each run faster.
    options: { config: site.configFile, asUser: scratch.user, env: { HOME: home } },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  }
}

/** The server is gone: neither command asks it anything. */
function configurationOf({ folder, repositoryFolder }: ArchiveSite): string {
  return [
    'clusters:',
    '  main:',
    '    connection: host=/nowhere',
    'repos:',
    '  local:',
    `    location: ${JSON.stringify(`posix:${repositoryFolder}`)}`,
    `    key-file: ${JSON.stringify(join(folder, 'key'))}`,
    '',
  ].join('\n')
}

interface Segments {
  readonly site: ArchiveSite
  readonly walFolder: string
  readonly names: readonly string[]
}

async function writeSegments(scratch: Scratch): Promise<Segments> {
  const settings = { archive_mode: 'on', archive_command: 'false' }
  await using server = await startServer({ major: 17, scratch, walSegmentSizeMb: 1, settings })
  const site = await createArchiveSite(scratch, server)
  const count = archivedCount + waitingCount
  await using session = await server.session()
  await session.query('create table filling (text text)')
  for (let index = 0; index < count; index += 1) {
    await session.query('insert into filling select md5(i::text) from generate_series(1, 3000) i')
    await session.query('select pg_switch_wal()')
  }
  const walFolder = join(server.dataDirectory, 'pg_wal')
  const statuses = await readdir(join(walFolder, 'archive_status'))
  const ready = statuses.map((entry) => entry.replace('.ready', '')).filter(isWalSegmentName)
  return { site, walFolder, names: ready.toSorted().slice(0, count) }
}
