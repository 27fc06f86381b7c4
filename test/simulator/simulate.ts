import { isOperationError } from '../../src/domain/operation-error.ts'
import { defaultGraceMs, sweepCluster } from '../../src/retention/sweep.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { findBrokenPromises, findLeftovers } from './check-repository.ts'
import { backup, dump, expire, load, pin, push, removeDumps, restore, sweep } from './commands.ts'
import { createSimulatedCluster, toolsFor, type SimulatedCluster, type Tools } from './simulated-cluster.ts'
import { VirtualWorld } from './virtual-world.ts'

export interface Simulated {
  readonly seed: number
  /** What went wrong; empty: nothing. */
  readonly broken: readonly string[]
  /** Every call in its order: with the same seed the same. */
  readonly trace: readonly string[]
  readonly published: number
  readonly dumped: number
}

const minuteMs = 60_000
const hourMs = 60 * minuteMs
/** So many segments a server fills by itself; after that only what backups need. */
const mostIdleSegments = 12

type SimulatedCommand = (site: SimulatedCluster, tools: Tools) => Promise<void>

/** Lives through one history: some dozen commands on several hosts, at once and after each other, and what may happen to them. */
export async function simulate(seed: number): Promise<Simulated> {
  const random = seededRandom(seed)
  const isKind = random(5) === 0
  const world = new VirtualWorld(
    random,
    isKind
      ? { crashes: 0, failures: 0, pauses: 0 }
      : { crashes: random(5), failures: random(6), pauses: random(20) },
  )
  // Without a grace the listing must be true: the grace is what covers a listing that lags.
  const lagMs = random(3) === 0 ? minuteMs : 0
  const graceMs = lagMs > 0 || random(4) === 0 ? defaultGraceMs : 0
  const broken: string[] = []
  const state = { isChanged: false, isOver: false }
  const isChanged = (): boolean => state.isChanged
  const site = await createSimulatedCluster(world, {
    lagMs,
    onChange: ({ put, deleted }) => {
      const isCounted = deleted?.some((key) => !key.includes('/lease/')) ?? put?.includes('/catalog/')
      if (isCounted === true) state.isChanged = true
    },
  })
  const sweeping: SimulatedCommand = (place, tools) => sweep(place, tools, graceMs)
  const expiring: SimulatedCommand = async (place, tools) => {
    await expire(place, tools)
    await sweeping(place, tools)
  }
  const forgetting: SimulatedCommand = async (place, tools) => {
    await removeDumps(place, tools)
    await sweeping(place, tools)
  }
  const always = [backup, backup, backup, backup, restore, restore, expiring, expiring, sweeping, pin]
  const commands = random(2) === 0 ? always : [...always, dump, dump, dump, load, load, forgetting]
  let working = 3
  const lines = [1, 2, 3].map(async (host) => {
    await scheduler(site, { host, commands })
    working -= 1
  })
  lines.push(archiver(site, () => working > 0))
  void Promise.all(lines).then(
    () => (state.isOver = true),
    (error: unknown) => broken.push(String(error)),
  )
  do {
    state.isChanged = false
    await world.run(() => isChanged() || state.isOver || broken.length > 0)
    broken.push(...(await findBrokenPromises(site)))
  } while (isChanged() && broken.length === 0)
  if (broken.length === 0) broken.push(...(await tidyUp(site)))
  return {
    seed,
    broken,
    trace: world.trace,
    published: site.known.backups.size,
    dumped: site.known.dumps.size,
  }
}

/** The server: fills a segment now and then, and starts a push again and again. */
async function archiver(site: SimulatedCluster, isWanted: () => boolean): Promise<void> {
  const { world, random, known } = site
  const server = world.clockOf(world.spawn('server', 0))
  const { signal } = new AbortController()
  for (let round = 0; isWanted(); round += 1) {
    if (known.filledSegments < mostIdleSegments && random(4) === 0) known.filledSegments += 1
    if (known.archived.size < known.filledSegments)
      await runCommand(site, { name: `push-${round}`, command: push })
    await server.sleep(random(2 * minuteMs), signal)
  }
}

interface Schedule {
  readonly host: number
  readonly commands: readonly SimulatedCommand[]
}

/** A host that starts one command after the other. */
async function scheduler(site: SimulatedCluster, { host, commands }: Schedule): Promise<void> {
  const { world, random } = site
  const clock = world.clockOf(world.spawn(`host-${host}`, 0))
  const { signal } = new AbortController()
  for (let round = 0; round < 5; round += 1) {
    await clock.sleep(
      random(10) === 0 ? random(30 * hourMs) : random(random(2) === 0 ? minuteMs : 10 * minuteMs),
      signal,
    )
    const command = commands[random(commands.length)]
    if (command !== undefined) await runCommand(site, { name: `${host}.${round}`, command })
  }
}

interface Started {
  readonly name: string
  readonly command: SimulatedCommand
}

/** Ends when the command ends or dies; that it fails is part of life, that it fails by a bug is not. */
async function runCommand(site: SimulatedCluster, { name, command }: Started): Promise<void> {
  const tools = toolsFor(site, name)
  const work = command(site, tools).catch((error: unknown) => {
    if (isOperationError(error) || isAbort(error)) return
    site.complaints.push(
      `${name} failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
    )
  })
  await Promise.race([work, tools.process.died])
}

const isAbort = (error: unknown): boolean => error instanceof Error && error.name === 'AbortError'

function orBusy(error: unknown): void {
  if (!isOperationError(error, 'busy') && !isOperationError(error, 'lease-lost')) throw error
}

/** When all is quiet, sweeps leave what is needed and nothing else. */
async function tidyUp(site: SimulatedCluster): Promise<readonly string[]> {
  const { world } = site
  world.calm()
  let outcome: readonly string[] | undefined
  const tidying = async (): Promise<readonly string[]> => {
    // Clocks differ, and whoever stood still may still be at work: a few rounds more than two.
    for (let round = 0; round < 5; round += 1) {
      const { place, context } = toolsFor(site, `end.${round}`)
      await context.clock.sleep(defaultGraceMs + 3 * hourMs, context.signal)
      await sweepCluster({ graceMs: defaultGraceMs, isDryRun: false }, place, context).catch(orBusy)
    }
    return [
      ...(await findBrokenPromises(site)),
      ...(await findLeftovers(site)).map((key) => `${key} was never swept`),
    ]
  }
  void tidying().then(
    (found) => (outcome = found),
    // Without a catalogue nothing is swept.
    (error: unknown) =>
      (outcome = isOperationError(error, 'not-found') ? [] : [`the last sweep failed: ${String(error)}`]),
  )
  await world.run(() => outcome !== undefined)
  return outcome ?? ['the last sweep never ended']
}
