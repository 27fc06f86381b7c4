import assert from 'node:assert/strict'
import { isOperationError, OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { freshName, randomBytes } from '../platform/random.ts'
import type { ObjectStore } from './object-store.ts'

/**
 * Where a probe keeps its objects, of which nothing is left when it ends, unless the credentials may not delete. What is left
 * a later probe removes.
 */
export const probePrefix = 'probe/'

/** A promise of `ObjectStore`, and how the store broke it; undefined: it kept it. */
interface ProbedPromise {
  readonly name: string
  readonly fault: string | undefined
}

export interface ProbeReport {
  readonly promises: readonly ProbedPromise[]
  /** Objects of the probe that the store did not let go: 0 unless the credentials may only add. */
  readonly leftCount: number
  /** By how much the clock of this machine is ahead of the store's. Exact to a second. */
  readonly clockDifferenceMs: number
  /** Of an object of a hundred bytes: the median of several. */
  readonly writeLatencyMs: number
  readonly readLatencyMs: number
  readonly writeBytesPerSecond: number
  readonly readBytesPerSecond: number
}

const racers = 20
const rounds = 9
const largeBytes = 16 * 1024 * 1024
const staleMs = 60 * 60_000

type Context = Pick<RunContext, 'signal' | 'clock'>

/**
 * Tries out whether a store keeps the promises that a repository stands on, and how fast it is. Changes nothing but objects
 * of its own. Throws when the store fails otherwise than by a broken promise.
 */
export async function probeStore(store: ObjectStore, caller: Context): Promise<ProbeReport> {
  // Nothing of a probe is worth a lock.
  const context = { ...caller, isShortLived: true }
  await removeStale(store, context)
  const folder = `${probePrefix}${freshName()}/`
  try {
    const promises: ProbedPromise[] = []
    for (const [name, look] of Object.entries(looks)) {
      promises.push({ name, fault: await look(store, `${folder}${promises.length}`, context) })
    }
    const measured = await measure(store, folder, context)
    const leftCount = await remove(store, await keysBelow(store, folder, context), context)
    return { promises, leftCount, ...measured }
  } catch (error) {
    await remove(store, await keysBelow(store, folder, context), context)
    throw error
  }
}

/** Whoever may only add is fit for backups too. Gives how many objects are still there. */
async function remove(store: ObjectStore, keys: readonly string[], { signal }: Context): Promise<number> {
  let leftCount = 0
  await store.delete(keys, {
    signal,
    onKept: ({ reason }) => {
      if (reason !== 'version') leftCount += 1
    },
  })
  return leftCount
}

/**
 * The least of a probe, cheap enough to be done every day: an object is written, not overwritten, and comes back. Throws
 * `store-failed` for a broken promise. One small object is left where the credentials may only add.
 */
export async function proveWritable(store: ObjectStore, caller: Context): Promise<void> {
  const context = { ...caller, isShortLived: true }
  const key = `${probePrefix}${freshName()}/0`
  const name = 'never overwrites'
  try {
    refuseUnfit(store, { promises: [{ name, fault: await neverOverwrites(store, key, context) }] })
  } finally {
    await remove(store, [key], context)
  }
}

/** Throws `store-failed` for a store that breaks a promise. */
export function refuseUnfit(store: ObjectStore, { promises }: Pick<ProbeReport, 'promises'>): void {
  const broken = promises.filter(({ fault }) => fault !== undefined)
  const [first] = broken
  if (first === undefined) return
  throw new OperationError(
    'store-failed',
    `probing the store "${store.location}": expected a store that keeps its promises, found ${broken.length} broken, the first: ${first.name}: ${first.fault}`,
    { hint: 'Use another store: with this one, backups could be lost without a sign.' },
  )
}

/** Gives what is wrong. The key is its own. */
type Look = (store: ObjectStore, key: string, context: Context) => Promise<string | undefined>

const neverOverwrites: Look = async (store, key, context) => {
  const bytes = randomBytes(100)
  if ((await store.putIfAbsent(key, bytes, context)) !== 'created') return 'a free key was said to be taken'
  if ((await store.putIfAbsent(key, randomBytes(100), context)) !== 'exists') {
    return 'an object was overwritten: conditional writes are ignored'
  }
  return isSame(await store.get(key, undefined, context), bytes) ? undefined : 'other bytes came back'
}

const looks: Readonly<Record<string, Look>> = {
  'never overwrites': neverOverwrites,
  'tells one of racing writers that it won': async (store, key, context) => {
    const contents = Array.from({ length: racers }, () => randomBytes(100))
    const answers = await Promise.all(contents.map((bytes) => store.putIfAbsent(key, bytes, context)))
    const winners = contents.filter((_, index) => answers[index] === 'created')
    if (winners.length !== 1) return `${winners.length} of ${racers} were told so`
    const found = await store.get(key, undefined, context)
    return isSame(found, winners[0]) ? undefined : 'the bytes of another one were stored'
  },
  'shows at once what was written': async (store, key, context) => {
    for (let round = 0; round < rounds; round++) {
      const bytes = randomBytes(100)
      await store.putIfAbsent(`${key}-${round}`, bytes, context)
      if (!isSame(await store.get(`${key}-${round}`, undefined, context), bytes)) return 'it was not read'
      if ((await store.head(`${key}-${round}`, context))?.sizeBytes !== 100) return 'its size was not told'
    }
    const listed = await keysBelow(store, `${key}-`, context)
    return listed.length === rounds ? undefined : `${listed.length} of ${rounds} objects were listed`
  },
  'reads exactly the range that it is asked for': async (store, key, context) => {
    const bytes = randomBytes(100)
    await store.putIfAbsent(key, bytes, context)
    for (const [offset, length] of [
      [0, 100],
      [10, 20],
      [99, 1],
    ] as const) {
      const found = await store.get(key, { offset, length }, context)
      if (!isSame(found, bytes.subarray(offset, offset + length))) return `other bytes came from ${offset} on`
    }
    try {
      await store.get(key, { offset: 90, length: 20 }, context)
      return 'a range past the end was answered'
    } catch (error) {
      if (isOperationError(error, 'damaged')) return undefined
      throw error
    }
  },
  'lists in the order of the keys': async (store, key, context) => {
    const names = ['a-b', 'a.b', 'a/b', 'a0', 'A', '_', 'z'].map((name) => `${key}/${name}`)
    for (const name of names) await store.putIfAbsent(name, randomBytes(1), context)
    const listed = await keysBelow(store, `${key}/`, context)
    return listed.join() === names.toSorted().join()
      ? undefined
      : `it listed ${listed.length} of ${names.length}, or in another order`
  },
  'says of what is absent that it is': async (store, key, context) => {
    await store.putIfAbsent(key, randomBytes(1), context)
    const isGone = (await remove(store, [key], context)) === 0
    if (isGone && (await store.get(key, undefined, context)) !== undefined) return 'a deleted object was read'
    await remove(store, [`${key}-absent`], context)
    return (await store.head(`${key}-absent`, context)) === undefined
      ? undefined
      : 'an absent object was found'
  },
}

async function measure(
  store: ObjectStore,
  folder: string,
  context: Context,
): Promise<Omit<ProbeReport, 'promises' | 'leftCount'>> {
  const small = randomBytes(100)
  const writes: number[] = []
  const reads: number[] = []
  for (let round = 0; round < rounds; round++) {
    writes.push(await timed(() => store.putIfAbsent(`${folder}small-${round}`, small, context), context))
    reads.push(await timed(() => store.get(`${folder}small-${round}`, undefined, context), context))
  }
  const head = await store.head(`${folder}small-${rounds - 1}`, context)
  const clockDifferenceMs = context.clock.now() - (head?.modifiedAtMs ?? context.clock.now())
  const large = randomBytes(largeBytes)
  const writeMs = await timed(() => store.putIfAbsent(`${folder}large`, large, context), context)
  const readMs = await timed(() => store.get(`${folder}large`, undefined, context), context)
  return {
    clockDifferenceMs,
    writeLatencyMs: median(writes),
    readLatencyMs: median(reads),
    writeBytesPerSecond: Math.round((largeBytes / Math.max(writeMs, 1)) * 1000),
    readBytesPerSecond: Math.round((largeBytes / Math.max(readMs, 1)) * 1000),
  }
}

async function timed(work: () => Promise<unknown>, { clock }: Context): Promise<number> {
  const startedMs = clock.monotonic()
  await work()
  return clock.monotonic() - startedMs
}

function median(values: readonly number[]): number {
  const middle = values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)]
  assert.ok(middle !== undefined)
  return Math.round(middle * 10) / 10
}

function isSame(found: Uint8Array | undefined, expected: Uint8Array | undefined): boolean {
  return found !== undefined && expected !== undefined && Buffer.compare(found, expected) === 0
}

async function keysBelow(store: ObjectStore, prefix: string, context: Context): Promise<string[]> {
  const keys: string[] = []
  for await (const { key } of store.list(prefix, context)) keys.push(key)
  return keys
}

async function removeStale(store: ObjectStore, context: Context): Promise<void> {
  const stale: string[] = []
  for await (const { key, modifiedAtMs } of store.list(probePrefix, context)) {
    if (modifiedAtMs < context.clock.now() - staleMs) stale.push(key)
  }
  await remove(store, stale, context)
}
