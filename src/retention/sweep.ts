import { hostname } from 'node:os'
import type { ArchivePlace } from '../archive/archive-place.ts'
import { describePlace } from '../archive/archive-place.ts'
import { isOperationError, OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { readProcessIdentity } from '../platform/process-identity.ts'
import { changeCatalogue, readCatalogue, type Catalogue } from '../repository/catalogue.ts'
import { acquireLease, type Lease } from '../repository/lease.ts'
import { readLeases } from '../repository/lease-beat.ts'
import { dumpScope } from '../repository/take-dump.ts'
import type { KeptObject, KeptReason } from '../storage/object-store.ts'
import { findNeeds, listGarbage, type Garbage, type GarbageKind } from './find-garbage.ts'
import { sumKept, type KeptBytes } from './kept-bytes.ts'
import { removeHistory } from './remove-history.ts'
import { readSweepMarks, writeSweepMarks, type Marks } from './sweep-marks.ts'

/** How long an object stays after the first sweep that found that nothing needs it (R66). */
export const defaultGraceMs = 24 * 60 * 60 * 1000

export interface SweepRequest {
  readonly graceMs: number
  /** Finds out and changes nothing. */
  readonly isDryRun: boolean
}

/** Objects of one kind, counted. */
interface SweptObjects {
  readonly count: number
  readonly bytes: number
}

export type SweptKinds = Readonly<Record<GarbageKind, SweptObjects>>

export interface SweepResult {
  /** Deleted now, or in a dry run: would be. */
  readonly deleted: SweptKinds
  /** What was to be deleted, and whose bytes the store keeps: none of it is in `deleted`. By reason. */
  readonly kept: readonly KeptBytes[]
  /** Found, and waiting for their grace to end. */
  readonly waiting: SweptKinds
  /** When the first of those that wait may be deleted, in milliseconds since 1970. */
  readonly nextDueAtMs: number | undefined
  /** Who works on the cluster, so that nothing was marked or deleted; undefined: nobody. */
  readonly postponedFor: string | undefined
}

const batchSize = 500

/**
 * Deletes what nothing needs, in two phases: what a sweep finds it marks, and what was marked for longer than the grace
 * and is still not needed a later sweep deletes. Nothing is marked or deleted while a backup, a dump or a restore holds a lease.
 *
 * Why nothing is lost (R65, R66): the leases are looked at after the listing, so what a running backup has stored is left
 * alone, and then the references again, so that what it published meanwhile is seen. Right before deleting, the scopes of
 * backups and dumps are claimed once, and a fence takes the next number of the catalogue: a backup whose process stood still
 * past its lease cannot be listed any more without looking again, and finds a higher token; one that begins later reads a
 * catalogue from which only needed objects can be reached. A dump refers to nothing but its own objects.
 *
 * Throws `busy` when another sweep runs, and `damaged` when the catalogue or a manifest cannot be read: then nothing is
 * deleted.
 */
export async function sweepCluster(
  request: SweepRequest,
  place: ArchivePlace,
  context: RunContext,
): Promise<SweepResult> {
  if (request.isDryRun) return (await prepareSweep(request, place, context)).result
  const { repository, cluster } = place
  await using lease = await acquireLease(
    repository,
    {
      clusterId: cluster.id,
      scope: 'sweep',
      purpose: `sweep of cluster "${cluster.name}" by ${hostname()}`,
      holder: readProcessIdentity(),
    },
    context,
  )
  const held = { ...context, signal: AbortSignal.any([context.signal, lease.lost]) }
  return await sweep({ request, lease }, place, held)
}

async function sweep(
  { request, lease }: { readonly request: SweepRequest; readonly lease: Lease },
  place: ArchivePlace,
  context: RunContext,
): Promise<SweepResult> {
  const { repository, cluster } = place
  const first = await prepareSweep(request, place, context)
  if (first.result.postponedFor !== undefined) return first.result
  let prepared = first
  let kept: readonly Kept[] = []
  if (first.due.length > 0) {
    const claim = await passListersOver(place, context)
    if ('postponedFor' in claim)
      return { ...first.result, deleted: count([]), postponedFor: claim.postponedFor }
    const change = { kind: 'fence' } as const
    const confirm = (): Promise<void> => lease.confirm()
    await changeCatalogue(repository, { clusterId: cluster.id, change, confirm }, context)
    prepared = await prepareSweep({ ...request, ownTokens: claim }, place, context)
    if (prepared.result.postponedFor !== undefined) return prepared.result
    kept = await deleteAll(prepared.due, { lease, place }, context)
  }
  // What is still there keeps its mark, so that the next sweep tries again at once.
  const left = new Set(kept.filter(({ reason }) => reason !== 'version').map(({ garbage }) => garbage.key))
  const isMarked = (key: string): boolean => prepared.waitingKeys.has(key) || left.has(key)
  const marks = new Map([...prepared.marks].filter(([key]) => isMarked(key)))
  if (!isSame(marks, prepared.previous.marks)) {
    const { number } = prepared.previous
    await lease.confirm()
    await writeSweepMarks(repository, { clusterId: cluster.id, before: number, marks }, context)
  }
  await removeHistory(lease, place, context)
  const keptKeys = new Set(kept.map(({ garbage }) => garbage.key))
  return {
    ...prepared.result,
    deleted: count(prepared.due.filter(({ key }) => !keptKeys.has(key))),
    kept: sumKept(kept, repository.store.retention),
  }
}

/** Whoever lists something new holds one of these from before it stores anything. */
const listingScopes = ['backup', dumpScope] as const

type OwnTokens = ReadonlyMap<string, number>

/**
 * Claims each scope of those who list something and gives it back: whoever held it before, and may only stand still, finds a
 * higher token and can list nothing any more. Gives the tokens, or what runs when somebody does hold a scope.
 */
async function passListersOver(
  { repository, cluster }: ArchivePlace,
  context: RunContext,
): Promise<OwnTokens | { readonly postponedFor: string }> {
  const tokens = new Map<string, number>()
  for (const scope of listingScopes) {
    const request = {
      clusterId: cluster.id,
      scope,
      purpose: `sweep of cluster "${cluster.name}" by ${hostname()}`,
      holder: readProcessIdentity(),
    }
    try {
      const claimed = await acquireLease(repository, request, context)
      await claimed[Symbol.asyncDispose]()
      tokens.set(scope, claimed.token)
    } catch (error) {
      if (!isOperationError(error, 'busy')) throw error
      return { postponedFor: error.message }
    }
  }
  return tokens
}

interface PreparedSweep {
  readonly result: SweepResult
  readonly due: readonly Garbage[]
  readonly waitingKeys: ReadonlySet<string>
  readonly marks: Marks
  readonly previous: { readonly number: number; readonly marks: Marks }
}

/** Finds what is garbage now, and which of it was garbage for long enough. Changes nothing. */
async function prepareSweep(
  { graceMs, ownTokens = new Map() }: SweepRequest & { readonly ownTokens?: OwnTokens },
  place: ArchivePlace,
  context: RunContext,
): Promise<PreparedSweep> {
  const { repository, cluster } = place
  const previous = await readSweepMarks(repository, cluster.id, context)
  const { garbage, runsNow } = await findGarbage(place, ownTokens, context)
  const now = context.clock.now()
  const marks = new Map<string, number>()
  for (const { key } of garbage) {
    // A mark of the future was made by a clock that was wrong: the grace begins anew.
    const markedAtMs = previous.marks.get(key) ?? now
    marks.set(key, Math.min(markedAtMs, now))
  }
  const isDue = ({ key }: Garbage): boolean => graceMs === 0 || isPast(previous.marks.get(key), now - graceMs)
  const due = runsNow === undefined ? garbage.filter(isDue) : []
  const dueKeys = new Set(due.map(({ key }) => key))
  const waiting = garbage.filter(({ key }) => !dueKeys.has(key))
  const nextDueAtMs = waiting.reduce<number | undefined>((next, { key }) => {
    const dueAtMs = (marks.get(key) ?? now) + graceMs
    return next === undefined ? dueAtMs : Math.min(next, dueAtMs)
  }, undefined)
  return {
    result: { deleted: count(due), kept: [], waiting: count(waiting), nextDueAtMs, postponedFor: runsNow },
    due,
    waitingKeys: new Set(waiting.map(({ key }) => key)),
    marks,
    previous,
  }
}

const isPast = (markedAtMs: number | undefined, edgeMs: number): boolean =>
  markedAtMs !== undefined && markedAtMs <= edgeMs

/** The order matters: references, objects, leases, references again. See `sweepCluster`. */
async function findGarbage(
  place: ArchivePlace,
  ownTokens: OwnTokens,
  context: RunContext,
): Promise<{ garbage: readonly Garbage[]; runsNow: string | undefined }> {
  const before = await readKnownCatalogue(place, context)
  const garbage = await listGarbage(await findNeeds(before, place, context), place, context)
  const runsNow = await findRunning(place, ownTokens, context)
  const after = await readKnownCatalogue(place, context)
  if (after.number === before.number) return { garbage, runsNow }
  const isNeeded = await findNeeds(after, place, context)
  return { garbage: garbage.filter(({ key }) => !isNeeded(key)), runsNow }
}

/** A catalogue that is not there says nothing about what is needed. */
async function readKnownCatalogue(place: ArchivePlace, context: RunContext): Promise<Catalogue> {
  const catalogue = await readCatalogue(place.repository, place.cluster.id, context)
  if (catalogue.number > 0) return catalogue
  throw new OperationError('not-found', `sweeping ${describePlace(place)}: nothing was ever listed there`, {
    hint: 'Take a backup first; without a catalogue nothing can be called garbage.',
  })
}

/** What a backup, a dump or a restore that runs now is about to do. Our own claims are none, also while a listing lags behind them. */
async function findRunning(
  { repository, cluster }: ArchivePlace,
  ownTokens: OwnTokens,
  context: RunContext,
): Promise<string | undefined> {
  const self = readProcessIdentity()
  const leases = await readLeases(repository, { clusterId: cluster.id, self }, context)
  const running = leases.find(({ scope, token, isHeld: held }) => {
    if (!held) return false
    const isLister = listingScopes.some((one) => one === scope)
    return isLister ? token !== ownTokens.get(scope) : scope.startsWith('restore-')
  })
  return running?.purpose
}

interface Kept {
  readonly garbage: Garbage
  readonly reason: KeptReason
}

/** Gives what the store keeps. */
async function deleteAll(
  due: readonly Garbage[],
  { lease, place }: { readonly lease: Lease; readonly place: ArchivePlace },
  context: RunContext,
): Promise<readonly Kept[]> {
  const kept: Kept[] = []
  for (let from = 0; from < due.length; from += batchSize) {
    const batch = new Map(due.slice(from, from + batchSize).map((garbage) => [garbage.key, garbage]))
    const onKept = ({ key, reason }: KeptObject): void => {
      const garbage = batch.get(key)
      if (garbage !== undefined) kept.push({ garbage, reason })
    }
    await lease.confirm()
    await place.repository.store.delete([...batch.keys()], { signal: context.signal, onKept })
    context.report({
      kind: 'progress',
      phase: 'sweep',
      done: Math.min(due.length, from + batchSize),
      total: due.length,
      unit: 'files',
    })
  }
  return kept
}

function count(garbage: readonly Garbage[]): SweptKinds {
  const of = (kind: GarbageKind): SweptObjects => {
    const members = garbage.filter((object) => object.kind === kind)
    return { count: members.length, bytes: members.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) }
  }
  return { manifest: of('manifest'), pack: of('pack'), wal: of('wal'), dump: of('dump') }
}

const isSame = (one: Marks, other: Marks): boolean =>
  one.size === other.size && [...one].every(([key, markedAtMs]) => other.get(key) === markedAtMs)
