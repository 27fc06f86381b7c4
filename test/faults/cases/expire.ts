import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { appendFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { isWalSegmentName, parseSegmentName, toWalSegmentSize } from '../../../src/domain/wal-segment.ts'
import { readProcessIdentity } from '../../../src/platform/process-identity.ts'
import { manifestFolder, packFolder } from '../../../src/repository/object-keys.ts'
import { readLeases } from '../../../src/repository/lease-beat.ts'
import { readSweepMarks, writeSweepMarks } from '../../../src/retention/sweep-marks.ts'
import { recordingContext } from '../../support/archive-fixture.ts'
import { archiveEverything } from '../../support/archive-everything.ts'
import { giveTree } from '../../support/give-tree.ts'
import { expectOk, runHoldfast, type HoldfastOptions } from '../../support/holdfast.ts'
import { startProtectedCluster, type ProtectedCluster } from '../../support/protected-cluster.ts'
import type { Scratch } from '../../support/scratch.ts'
import type { FaultCase, FaultStage, FaultTurn, Outcome } from '../fault-case.ts'
import { age, readBack, temporariesOf, walNames } from '../read-back.ts'

/**
 * P6, R68. One run that forgets a backup by the keep rules, deletes what an earlier run had marked long enough ago, and
 * marks what is not needed any more.
 */
export const expire: FaultCase = {
  name: 'expire',
  sampleSize: 4,
  mostPerOperation: 40,
  stage,
}

const run = promisify(execFile)

async function stage(scratch: Scratch): Promise<FaultStage> {
  const cluster = await startProtectedCluster(scratch, { major: 17 })
  const { archive, server } = cluster
  const env = { HOME: await scratch.makeFolder('home') }
  const options = { config: archive.configFile, asUser: scratch.user, env }
  for (let count = 0; count < 3; count += 1)
    expectOk(await runHoldfast(['backup', '--type', 'full'], options))
  await archiveEverything(server)
  await server.stop()
  const [{ label: garbage }, , newest] = asThree(await cluster.listed())
  expectOk(await runHoldfast(['delete', garbage, '--confirm', 'main'], options))
  await markLongAgo(cluster, options)
  await appendFile(archive.configFile, 'keep:\n  count: 1\n  minimum: 1\n')
  const kept = { label: newest.label, walFiles: await walSince(cluster, newest.startLsn) }
  const template = join(scratch.folder, 'template')
  await run('cp', ['-a', archive.repositoryFolder, template])
  return {
    turn: async () => {
      await rm(archive.repositoryFolder, { recursive: true })
      await run('cp', ['-a', template, archive.repositoryFolder])
      // An older copy than this host has seen would be refused.
      await rm(join(archive.folder, 'state'), { recursive: true, force: true })
      return new ExpireTurn(cluster, { options, garbage, kept })
    },
    [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose](),
  }
}

/** Marks as a run before does, and moves the time of it back by three days. */
async function markLongAgo(cluster: ProtectedCluster, options: HoldfastOptions): Promise<void> {
  const { archive, scratch } = cluster
  expectOk(await runHoldfast(['expire'], options))
  await using place = await archive.place()
  const clusterId = place.cluster.id
  const { number, marks } = await readSweepMarks(place.repository, clusterId, recordingContext())
  const threeDaysMs = 3 * 24 * 60 * 60 * 1000
  const aged = new Map([...marks].map(([key, markedAtMs]) => [key, markedAtMs - threeDaysMs]))
  assert.ok(aged.size > 1, 'nothing was marked')
  await writeSweepMarks(place.repository, { clusterId, before: number, marks: aged }, recordingContext())
  await giveTree(archive.repositoryFolder, scratch.user)
}

/** What every moment after the backup needs. */
async function walSince({ archive }: ProtectedCluster, startLsn: bigint): Promise<readonly string[]> {
  await using place = await archive.place()
  const size = toWalSegmentSize(place.cluster.walSegmentSize)
  const names = await walNames(place)
  return [...names].filter((name) => {
    const isSegment = isWalSegmentName(name)
    return isSegment && parseSegmentName(name, size).startLsn + BigInt(size) > startLsn
  })
}

function asThree<Value>(values: readonly Value[]): readonly [Value, Value, Value] {
  const [one, two, three] = values
  assert.ok(one !== undefined && two !== undefined && three !== undefined && values.length === 3)
  return [one, two, three]
}

interface Backups {
  readonly options: HoldfastOptions
  /** Not listed any more, its objects marked. */
  readonly garbage: string
  readonly kept: { readonly label: string; readonly walFiles: readonly string[] }
}

class ExpireTurn implements FaultTurn {
  readonly command: FaultTurn['command']
  readonly #cluster: ProtectedCluster
  readonly #backups: Backups

  constructor(cluster: ProtectedCluster, backups: Backups) {
    this.#cluster = cluster
    this.#backups = backups
    this.command = { args: ['expire'], options: backups.options, folder: cluster.archive.folder }
  }

  async afterFault({ isKilled, result }: Outcome): Promise<void> {
    const { archive } = this.#cluster
    // Whatever is listed must be whole, the backup that was about to go too.
    await readBack(archive, { acknowledged: this.#acknowledged })
    const left = await temporariesOf(archive)
    assert.ok(left.length <= 2, `U6: left behind: ${left.join(', ')}`)
    if (!isKilled && result.code !== 0) await this.#checkLeases()
    await age(left)
  }

  async afterSuccess(): Promise<void> {
    const { archive } = this.#cluster
    const { garbage, kept } = this.#backups
    await readBack(archive, { acknowledged: this.#acknowledged })
    const listed = await this.#cluster.listed()
    assert.deepEqual(
      listed.map(({ label }) => label),
      [kept.label],
    )
    await using place = await archive.place()
    const folders = [packFolder(place.cluster.id), manifestFolder(place.cluster.id)]
    for (const folder of folders)
      for await (const { key } of place.repository.store.list(folder))
        assert.ok(!key.includes(garbage), `U6: garbage is left: ${key}`)
    await this.#checkLeases()
    assert.deepEqual(await temporariesOf(archive), [], 'U6: left behind')
  }

  get #acknowledged(): { readonly backups: readonly string[]; readonly walFiles: readonly string[] } {
    const { label, walFiles } = this.#backups.kept
    return { backups: [label], walFiles }
  }

  async #checkLeases(): Promise<void> {
    await using place = await this.#cluster.archive.place()
    const request = { clusterId: place.cluster.id, self: readProcessIdentity() }
    const leases = await readLeases(place.repository, request, recordingContext())
    const held = leases.filter(({ isHeld }) => isHeld)
    assert.deepEqual(held, [], 'U6: a lease is held')
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
