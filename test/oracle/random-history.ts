import { fullCheck } from '../support/full-check.ts'
import type { Scratch } from '../support/scratch.ts'
import { seededRandom } from '../support/seeded-random.ts'
import type { Major } from '../support/server-binaries.ts'
import { underLoad } from './background-load.ts'
import {
  changeIndexed,
  clusterActions,
  endPrepared,
  prepareTransaction,
  prepareWorld,
} from './cluster-actions.ts'
import { assertSameContents, checkIndexes, contentsOf } from './contents.ts'
import { startOracleSite, type OracleSite } from './oracle-site.ts'
import { tableActions } from './table-actions.ts'
import { World, type Action } from './world.ts'

export interface HistoryOptions {
  /** Decides everything but the time that things take. */
  readonly seed: number
  readonly major: Major
  readonly checksums: boolean
  /** Small ones make many records that cross segments, and many calls of the archive command. */
  readonly walSegmentSizeMb: 1 | 16
  /** Each ends with an audited incremental. All actions are dealt out to them, in random order. */
  readonly steps: number
  /** Told what is done, a line at a time. */
  readonly tell: (line: string) => void
}

export interface HistoryReport {
  readonly actions: number
  readonly audits: number
  readonly indexesCompared: number
}

type Strike = 'nothing' | 'crash' | 'crash during' | 'promotion' | 'restart'

interface Living {
  readonly site: OracleSite
  readonly world: World
  readonly tell: HistoryOptions['tell']
}

/**
 * Lives through a random history of a server, with an audited incremental after each step, taken while a table changes: it
 * must find that the WAL names every block that differs. In the end a plain incremental is recovered: what comes of it must
 * be what the server had. Throws when anything is not as it must be.
 */
export async function liveThrough(options: HistoryOptions, scratch: Scratch): Promise<HistoryReport> {
  const { seed, major, checksums, walSegmentSizeMb, steps, tell } = options
  const random = seededRandom(seed)
  const world = new World({ major, random, makeFolder: (name) => scratch.makeFolder(name) })
  await using site = await startOracleSite(scratch, {
    major,
    checksums,
    walSegmentSizeMb,
    settings: {
      max_prepared_transactions: 5,
      autovacuum: world.chance(2),
      autovacuum_naptime: '1s',
      max_wal_size: world.pick(['1GB', '32MB']),
      min_wal_size: '32MB',
    },
  })
  const living = { site, world, tell }
  await site.execute(await prepareWorld(world))
  await site.cluster.takeBackup('--type', 'full')
  const deck = world.shuffle([...tableActions, ...clusterActions])
  const strikes = world.shuffle<Strike>(['crash during', 'promotion', 'crash', 'nothing', 'restart'])
  for (let step = 0; step < steps; step += 1) {
    const actions = deck.filter((_, index) => index % steps === step)
    await liveStep(living, actions, strikes[step % strikes.length] ?? 'nothing')
  }
  const indexesCompared = await proveLast(living)
  return { actions: deck.length, audits: site.auditCount, indexesCompared }
}

async function liveStep(living: Living, actions: readonly Action[], strike: Strike): Promise<void> {
  const { site, world, tell } = living
  await site.execute([...endPrepared(world), ...changeIndexed(world)])
  for (const action of actions) {
    tell(action.name)
    await site.execute(await action.plan(world))
  }
  if (world.chance(2)) await site.execute(prepareTransaction(world))
  tell(`then ${strike}`)
  await strikeServer(living, strike)
  const { label, storedBytes } = await underLoad(site.cluster.server, () => site.auditedBackup())
  tell(`audited ${label}, which stored ${storedBytes} bytes`)
}

async function strikeServer({ site, world }: Living, strike: Strike): Promise<void> {
  if (strike === 'crash') await site.crash()
  if (strike === 'crash during') await site.crashDuring(struckStatement(world), 5 + world.random(60))
  if (strike === 'promotion') await site.promote()
  if (strike === 'restart') await site.cluster.server.restart()
}

function struckStatement(world: World): string {
  // What a crash leaves of a rewrite stays in its tablespace, which could not be dropped then.
  const { name } = world.pick(world.tables.filter(({ space }) => space === 'pg_default'))
  return world.pick([
    world.insert(name, 30_000),
    `vacuum full ${name}`,
    `begin; truncate ${name}; ${world.insert(name, 5000)}; commit`,
    `update ${name} set id = id + 1`,
  ])
}

/** The last incremental reads only what the WAL names, so that it proves what the audits claim. */
async function proveLast({ site, world, tell }: Living): Promise<number> {
  const { cluster } = site
  for (const action of world.shuffle(tableActions).slice(0, 5)) await site.execute(await action.plan(world))
  const { label } = await underLoad(cluster.server, () => site.plainBackup())
  await site.execute([...endPrepared(world), ...changeIndexed(world)])
  const expected = await contentsOf(cluster.server)
  tell(`recovering ${label}`)
  await using recovered = await cluster.recover(label)
  assertSameContents(await contentsOf(recovered), expected)
  await fullCheck(recovered)
  return await checkIndexes(recovered)
}
