import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { packFolder } from '../../../src/repository/object-keys.ts'
import { archiveEverything } from '../../support/archive-everything.ts'
import { expectOk, runHoldfast, type HoldfastOptions, type HoldfastResult } from '../../support/holdfast.ts'
import { startProtectedCluster, type ProtectedCluster } from '../../support/protected-cluster.ts'
import type { Scratch } from '../../support/scratch.ts'
import { waitUntil } from '../../support/wait.ts'
import type { FaultCase, FaultStage, FaultTurn, Outcome } from '../fault-case.ts'
import { age, isThere, readBack, temporariesOf } from '../read-back.ts'

/** P5. A full backup of a server that archives, in a repository that has one already, and one that goes on from that. */
export const backup: FaultCase = {
  name: 'backup',
  mostPerOperation: 40,
  sampleSize: 3,
  stage: (scratch) => stage(scratch, 'full'),
}
export const incrementalBackup: FaultCase = {
  name: 'backup, incremental',
  mostPerOperation: 20,
  sampleSize: 3,
  stage: (scratch) => stage(scratch, 'incr'),
}

/** Every turn adds WAL to the archive, which all later ones read again: after so many there is a new cluster. */
const turnsPerCluster = 20

async function stage(scratch: Scratch, type: 'full' | 'incr'): Promise<FaultStage> {
  let prepared: Prepared | undefined
  let turnCount = 0
  return {
    turn: async () => {
      if (turnCount % turnsPerCluster === 0) {
        await prepared?.place.cluster[Symbol.asyncDispose]()
        prepared = undefined
        prepared = await prepare(scratch, type)
      }
      turnCount += 1
      assert.ok(prepared)
      return takeTurn(prepared)
    },
    [Symbol.asyncDispose]: async () => prepared?.place.cluster[Symbol.asyncDispose](),
  }
}

interface Prepared {
  readonly place: BackupPlace
  /** The repository as it is at the beginning of each turn, but for its WAL. */
  readonly template: string
  /** Of what it lists. */
  readonly labels: readonly string[]
}

async function prepare(scratch: Scratch, type: 'full' | 'incr'): Promise<Prepared> {
  // Small segments are soon archived and read back.
  const cluster = await startProtectedCluster(scratch, { major: 17, walSegmentSizeMb: 1 })
  // A home keeps compiled code, which makes each run faster.
  const env = { HOME: await scratch.makeFolder(`home-${cluster.server.port}`) }
  const options = { config: cluster.archive.configFile, asUser: scratch.user, env }
  expectOk(await runHoldfast(['backup'], options))
  await archiveEverything(cluster.server)
  const template = join(scratch.folder, `template-${cluster.server.port}`)
  await copyTree(cluster.archive.repositoryFolder, template)
  const labels = (await cluster.listed()).map(({ label }) => label)
  return { place: { cluster, options, type }, template, labels }
}

async function takeTurn({ place, template, labels }: Prepared): Promise<FaultTurn> {
  const { archive, server } = place.cluster
  // Nothing may be on its way into the repository that is exchanged.
  await archiveEverything(server)
  await exchangeRepository(archive.repositoryFolder, template)
  // An older copy than this host has seen would be refused.
  await rm(join(archive.folder, 'state'), { recursive: true, force: true })
  return new BackupTurn(place, labels)
}

const run = promisify(execFile)

async function copyTree(from: string, to: string): Promise<void> {
  await run('cp', ['-a', from, to])
}

/** Puts the template in its place, with the WAL that was archived since: an incremental reads it, and nobody archives it again. */
async function exchangeRepository(repository: string, template: string): Promise<void> {
  const used = `${repository}-used`
  await rename(repository, used)
  await copyTree(template, repository)
  for (const folder of await readdir(repository)) {
    const wal = join(used, folder, 'wal')
    if (await isThere(wal)) await run('cp', ['-a', '-n', wal, join(repository, folder)])
  }
  await rm(used, { recursive: true })
}

interface BackupPlace {
  readonly cluster: ProtectedCluster
  readonly options: HoldfastOptions
  readonly type: 'full' | 'incr'
}

class BackupTurn implements FaultTurn {
  readonly command: FaultTurn['command']
  readonly #cluster: ProtectedCluster
  readonly #labels: readonly string[]

  constructor({ cluster, options, type }: BackupPlace, labels: readonly string[]) {
    this.#cluster = cluster
    this.#labels = labels
    this.command = {
      args: ['--output', 'json', 'backup', '--type', type],
      options,
      folder: cluster.archive.folder,
    }
  }

  async afterFault({ isKilled, result }: Outcome): Promise<void> {
    await this.#checkServer()
    const { archive } = this.#cluster
    await readBack(archive, { acknowledged: { backups: [...this.#labels, ...labelIn(result)] } })
    const most = isKilled ? 8 : 1
    // The archiver may be storing a segment at this moment.
    const left = await waitUntil(`U6: at most ${most} temporary files to be left behind`, async () => {
      const found = await temporariesOf(archive)
      return found.length <= most ? found : undefined
    })
    if (!isKilled && result.code !== 0) await this.#checkDiscarded()
    await age(left)
  }

  async afterSuccess(result: HoldfastResult): Promise<void> {
    const label = labelIn(result)
    assert.equal(label.length, 1, 'it names no backup')
    await this.#checkServer()
    await readBack(this.#cluster.archive, { acknowledged: { backups: [...this.#labels, ...label] } })
    // The archiver may be storing the end of the backup at this moment: what is left behind stays.
    await waitUntil('U6: nothing to be left behind', async () => {
      return (await temporariesOf(this.#cluster.archive)).length === 0
    })
  }

  /** It runs, no session of ours is left in it, and no backup mode in its directory (U6, C1). */
  async #checkServer(): Promise<void> {
    const { server } = this.#cluster
    await waitUntil('our sessions to end', async () => {
      const [row] = await server.query<{ count: string }>(
        `select count(*) from pg_stat_activity where application_name ilike '%holdfast%'`,
      )
      return row?.count === '0'
    })
    for (const name of ['backup_label', 'tablespace_map'])
      assert.ok(!(await isThere(join(server.dataDirectory, name))), `U6: a ${name} in the data directory`)
  }

  /** An orderly failure takes its packs away. */
  async #checkDiscarded(): Promise<void> {
    await using place = await this.#cluster.archive.place()
    const listed = await this.#cluster.listed()
    for await (const { key } of place.repository.store.list(packFolder(place.cluster.id)))
      assert.ok(
        listed.some(({ label }) => key.includes(label)),
        `U6: left behind: ${key}`,
      )
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

function labelIn({ code, stdout }: HoldfastResult): readonly string[] {
  if (code !== 0) return []
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the document is typed in src/api/backup-document.ts
  const document = JSON.parse(stdout) as { readonly backup: { readonly label: string } }
  return [document.backup.label]
}
