import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { archiveEverything } from '../../support/archive-everything.ts'
import { giveTree } from '../../support/give-tree.ts'
import { expectOk, runHoldfast } from '../../support/holdfast.ts'
import { processesIn } from '../../support/live-processes.ts'
import { openServer } from '../../support/postgres-server.ts'
import { startProtectedCluster, type ProtectedCluster } from '../../support/protected-cluster.ts'
import type { Scratch } from '../../support/scratch.ts'
import { waitUntil } from '../../support/wait.ts'
import { digestTree } from '../digest-tree.ts'
import type { Command, FaultCase, FaultStage, FaultTurn, Outcome } from '../fault-case.ts'
import { isThere } from '../read-back.ts'
import { markerFile } from '../../../src/restore/restore-marker.ts'

/** P7. The files of a backup. */
export const restoreFiles: FaultCase = {
  name: 'restore --files-only',
  sampleSize: 4,
  mostPerOperation: 30,
  stage: (scratch) => stage(scratch, { isFilesOnly: true }),
}

/** P7, P8. Everything up to the end of the archive, promoted. */
export const restore: FaultCase = {
  name: 'restore',
  sampleSize: 3,
  mostPerOperation: 8,
  stage: (scratch) => stage(scratch, { isFilesOnly: false }),
}

const rowCount = '2000'

interface Shape {
  readonly isFilesOnly: boolean
}

async function stage(scratch: Scratch, shape: Shape): Promise<FaultStage> {
  const cluster = await startProtectedCluster(scratch, { major: 17 })
  const { server, archive } = cluster
  const options = { config: archive.configFile, asUser: scratch.user }
  await server.query('create table before as select generate_series(1, 1000) as id')
  expectOk(await runHoldfast(['backup'], options))
  await server.query('insert into before select generate_series(1001, 2000)')
  await archiveEverything(server)
  await server.stop()
  const home = await scratch.makeFolder('home')
  let count = 0
  const place = async (): Promise<RestorePlace> => {
    // Short, for the socket of the server that recovers goes into it.
    const folder = await scratch.makeFolder(`t${(count += 1)}`)
    await mkdir(join(folder, 'tmp'))
    await giveTree(folder, scratch.user)
    return { folder, home, target: join(folder, 'data'), cluster, shape }
  }
  const intact = await place()
  expectOk(await runHoldfast([...commandOf(intact).args, '--files-only'], commandOf(intact).options))
  const expected = await digestTree(intact.target)
  return {
    turn: async () => new RestoreTurn(await place(), expected),
    [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose](),
  }
}

interface RestorePlace {
  readonly folder: string
  /** Keeps compiled code, which makes each run faster. */
  readonly home: string
  readonly target: string
  readonly cluster: ProtectedCluster
  readonly shape: Shape
}

function commandOf({ folder, home, target, cluster, shape }: RestorePlace): Command {
  const { server, archive, scratch } = cluster
  return {
    args: ['restore', '--target-dir', target, ...(shape.isFilesOnly ? ['--files-only'] : [])],
    options: {
      config: archive.configFile,
      asUser: scratch.user,
      env: {
        HOME: home,
        TMPDIR: join(folder, 'tmp'),
        PATH: `${server.binDirectory}:${dirname(process.execPath)}:/usr/bin:/bin`,
      },
    },
    folder,
  }
}

class RestoreTurn implements FaultTurn {
  readonly command: Command
  readonly #place: RestorePlace
  /** Of each file, what it holds when the files are complete and nothing has started them. */
  readonly #expected: ReadonlyMap<string, string>

  #mayLeaveFolder = false

  constructor(place: RestorePlace, expected: ReadonlyMap<string, string>) {
    this.#place = place
    this.#expected = expected
    this.command = commandOf(place)
  }

  async afterFault({ isKilled, result }: Outcome): Promise<void> {
    this.#mayLeaveFolder = isKilled || result.stderr.includes('nothing needs it, remove it by hand')
    const { target } = this.#place
    // A server that recovers outlives a killed restore; the next one ends it.
    // What fetches ahead notices by itself that nothing recovers any more.
    if (!isKilled) await waitUntil('U6: the last process to end', () => processesIn(target).length === 0)
    if (result.code === 0) return
    if (await isThere(join(target, 'global', 'pg_control'))) await this.#checkComplete()
    else if (await isThere(target)) await this.#checkUnstartable()
  }

  /** The marker is gone, last of all: the directory belongs to whoever starts it, and is not written over. */
  async isDone(): Promise<boolean> {
    const { target } = this.#place
    const names = await readdir(target).catch((): string[] => [])
    return names.includes('PG_VERSION') && !names.some((name) => name.startsWith(markerFile))
  }

  async afterSuccess(): Promise<void> {
    const { target, folder, shape } = this.#place
    // What fetches ahead notices by itself that nothing recovers any more.
    await waitUntil('U6: the last process to end', () => processesIn(target).length === 0)
    const most = this.#mayLeaveFolder ? 1 : 0
    assert.ok((await readdir(join(folder, 'tmp'))).length <= most, 'U6: left in the temp folder')
    const ours = (await readdir(target)).filter((name) => /^\.?holdfast-/.test(name))
    assert.deepEqual(ours, [], 'U6: left in the data directory')
    if (shape.isFilesOnly) assert.deepEqual(await digestTree(target), this.#expected)
    else await this.#checkRecovered()
  }

  /** With a control file all other files must be there: what can be started is the whole backup (R47). */
  async #checkComplete(): Promise<void> {
    const { target, shape } = this.#place
    if (!shape.isFilesOnly) return
    const found = await digestTree(target)
    for (const [path, digest] of this.#expected)
      assert.equal(
        found.get(path),
        digest,
        `U2: "${path}" is not what the backup has, and the control file is there`,
      )
  }

  async #checkUnstartable(): Promise<void> {
    const { target, cluster } = this.#place
    const { scratch, server } = cluster
    await assert.rejects(
      openServer({ dataDirectory: target, major: server.major, scratch }),
      /ended with \d+ while starting/,
      'U2: a directory that is not complete was started',
    )
  }

  async #checkRecovered(): Promise<void> {
    const { target, cluster } = this.#place
    const settings = await readFile(join(target, 'postgresql.auto.conf'), 'utf8')
    assert.doesNotMatch(
      settings,
      /^(?:recovery_|restore_command)/m,
      'U6: settings of the recovery are left (R44)',
    )
    const { scratch, server } = cluster
    await using restored = await openServer({ dataDirectory: target, major: server.major, scratch })
    const [row] = await restored.query<{ count: string }>('select count(*) from before')
    assert.equal(row?.count, rowCount, 'U1: rows')
  }

  [Symbol.asyncDispose](): Promise<void> {
    return rm(this.#place.folder, { recursive: true, force: true })
  }
}
