import { readdir } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { classifyArchiveFileName, type ArchiveFileName } from '../domain/archive-file-name.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { acknowledge, tidyAcknowledgements } from './acknowledgements.ts'
import { orAbandon } from '../platform/or-abandon.ts'
import { WorkerPool } from '../platform/worker-pool.ts'
import { pushFile, type PushedFile, type PushTools } from './push-file.ts'
import type { SealAnswer, SealRequest } from './seal-whole-file.ts'

/**
 * How many files that PostgreSQL has not asked for yet are pushed in one run, and for how long it goes on. A start of Node
 * costs what seven files cost, so a run that takes many is what makes a burst cheap.
 */
const mostFiles = 256
const goOnForMs = 10_000
/** When whatever has been begun is given up: PostgreSQL waits for its answer, which is known. */
const endAfterMs = 20_000
/** Two are being computed, and the others are on their way to the disk. */
const parallelPushes = 4

/** Two cores are what a small database server has to spare; starting the threads pays from a few files on. */
const sealingThreads = 2
const fewestForThreads = 6

/**
 * After the file at `path` was archived: pushes those that wait behind it in pg_wal, also those that come meanwhile, and
 * acknowledges each one, so that the archive_command has its answer without starting us. Gives how many were pushed.
 *
 * Never throws: the file at `path` is archived, whatever goes wrong here, and PostgreSQL must be told so or it would ask for
 * it for ever. What cannot be pushed it asks for in its turn, and is told then.
 */
export async function pushAhead(path: string, tools: PushTools, context: RunContext): Promise<number> {
  const ended = new AbortController()
  const limit = limitOf(context, ended.signal)
  const signal = AbortSignal.any([context.signal, limit])
  try {
    return await orAbandon(pushWaiting(path, tools, { ...context, signal }), signal)
  } catch (error) {
    warn(`archiving ahead of PostgreSQL's asking stopped`, error, context)
    return 0
  } finally {
    ended.abort()
  }
}

function limitOf({ clock }: RunContext, ended: AbortSignal): AbortSignal {
  const limit = new AbortController()
  const failure = new OperationError('archive-timeout', `it took longer than ${endAfterMs} ms`)
  clock.sleep(endAfterMs, ended).then(
    () => limit.abort(failure),
    () => undefined, // it ended before
  )
  return limit.signal
}

async function pushWaiting(path: string, tools: PushTools, context: RunContext): Promise<number> {
  const until = context.clock.monotonic() + goOnForMs
  const script = new URL('seal-wal-worker.ts', import.meta.url)
  await using pool = new WorkerPool<SealRequest, SealAnswer>({ script, size: sealingThreads })
  const seal: PushTools['seal'] = (request, signal) => pool.run(request, { signal })
  const seen = new Set([basename(path)])
  let pushedCount = 0
  for (;;) {
    const waiting = (await listWaiting(path, seen)).slice(0, mostFiles - pushedCount)
    if (waiting.length === 0) return pushedCount
    for (const { name } of waiting) seen.add(name)
    const batchTools = waiting.length < fewestForThreads ? tools : { ...tools, seal }
    const count = await pushEach({ walFolder: dirname(path), waiting, until }, batchTools, context)
    pushedCount += count
    if (count < waiting.length) return pushedCount
  }
}

/** What PostgreSQL will ask for next, in its order; those in `seen` and those that are acknowledged are left out. */
async function listWaiting(path: string, seen: ReadonlySet<string>): Promise<readonly ArchiveFileName[]> {
  const walFolder = dirname(path)
  const ready = await listReady(walFolder)
  const names = new Set(ready.map(({ name }) => name))
  const isWaiting = (name: string): boolean => names.has(name) && name !== basename(path)
  const acknowledged = await tidyAcknowledgements(walFolder, isWaiting)
  return ready.filter(({ name }) => !seen.has(name) && !acknowledged.has(name)).toSorted(byArchivingOrder)
}

interface Batch {
  readonly walFolder: string
  readonly waiting: readonly ArchiveFileName[]
  readonly until: number
}

/** Gives how many were pushed: all of them unless one failed, the time is up or the run is aborted. */
async function pushEach(
  { walFolder, waiting, until }: Batch,
  tools: PushTools,
  context: RunContext,
): Promise<number> {
  let isOver = false
  let pushedCount = 0
  const queue = waiting.values()
  const pushNext = async (): Promise<void> => {
    for (const { name } of queue) {
      if (isOver || context.signal.aborted || context.clock.monotonic() > until) return
      const answer = await pushAndAcknowledge(join(walFolder, name), tools, context)
      if (answer !== 'failed') pushedCount += 1
      if (answer !== 'done') isOver = true
    }
  }
  await Promise.all(Array.from({ length: parallelPushes }, pushNext))
  return pushedCount
}

/** 'last': it is done, and the next ones would wait as this one did for a repository that is behind. */
async function pushAndAcknowledge(
  path: string,
  tools: PushTools,
  context: RunContext,
): Promise<'done' | 'last' | 'failed'> {
  const pushed = await tryToPush(path, tools, context)
  if (pushed === undefined) return 'failed'
  try {
    // Dying here loses the acknowledgement: the file is pushed again and found archived.
    await acknowledge(dirname(path), { fileName: basename(path), modifiedAtNs: pushed.modifiedAtNs })
    return pushed.behind.length === 0 ? 'done' : 'last'
  } catch (error) {
    warn(`"${path}" is archived, and that cannot be noted`, error, context)
    return 'failed'
  }
}

async function tryToPush(
  path: string,
  tools: PushTools,
  context: RunContext,
): Promise<PushedFile | undefined> {
  try {
    return await pushFile({ path }, tools, context)
  } catch (error) {
    // Whoever has ended all of it says so.
    if (context.signal.aborted) return undefined
    // PostgreSQL has not been told that this file is archived and will ask for it: its own run gives the error.
    context.report({ kind: 'note', message: `pushing ahead stops at "${path}": ${textOf(error)}` })
    return undefined
  }
}

function warn(what: string, error: unknown, context: RunContext): void {
  context.report({
    kind: 'warning',
    message: `${what}: ${textOf(error)}`,
    hint: 'Archiving goes on, more slowly; look at the folder "holdfast-ack" in pg_wal, and at the repositories.',
  })
}

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

async function listReady(walFolder: string): Promise<ArchiveFileName[]> {
  const suffix = '.ready'
  const entries = await readdir(join(walFolder, 'archive_status'))
  return entries
    .filter((entry) => entry.endsWith(suffix))
    .map((entry) => classifyArchiveFileName(entry.slice(0, -suffix.length)))
    .filter((name) => name !== undefined)
}

/** As pgarch_readyXlog in postmaster/pgarch.c has it: histories first, then the oldest name. */
function byArchivingOrder(one: ArchiveFileName, other: ArchiveFileName): number {
  const histories = Number(other.kind === 'history') - Number(one.kind === 'history')
  return histories === 0 ? Number(one.name > other.name) - Number(one.name < other.name) : histories
}
