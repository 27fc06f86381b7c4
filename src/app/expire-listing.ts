import type { ExpireDocument } from '../api/expire-document.ts'
import type { KeptListing } from '../api/sweep-document.ts'
import { formatInstant, instantFromMs } from '../domain/target-time.ts'
import type { KeptBytes } from '../retention/kept-bytes.ts'
import type { SweepResult, SweptKinds } from '../retention/sweep.ts'
import type { ExpiredDumps } from './expire-dumps.ts'
import type { ExpiredCluster, ExpiredRepo } from './expire-cluster.ts'

/** What expired, as programs are told of it. */
export function listExpired({ name, repos, failures }: ExpiredCluster, dryRun: boolean): ExpireDocument {
  return {
    version: 1,
    cluster: name,
    dryRun,
    repos: repos.map(listRepo),
    failures: failures.map(({ error, ...repo }) => ({ ...repo, message: messageOf(error) })),
  }
}

function listRepo({ name, location, plan, applied, dumps, swept, failure }: ExpiredRepo): Repo {
  return {
    name,
    location,
    hasRules: plan.hasRules,
    keep: plan.keep,
    remove: plan.remove,
    ownWal: plan.ownWal,
    done: applied === undefined ? null : { removed: applied.removed, ownWal: applied.ownWal },
    dumps: listDumps(dumps),
    swept: swept === undefined ? null : listSwept(swept),
    failure: failure === undefined ? null : messageOf(failure),
  }
}

type Repo = ExpireDocument['repos'][number]

function listDumps({ plan: { hasRules, keep, remove }, removed }: ExpiredDumps): Repo['dumps'] {
  return { hasRules, keep, remove, done: removed === undefined ? null : { removed } }
}

function listSwept({ deleted, kept, waiting, postponedFor }: SweepResult): NonNullable<Repo['swept']> {
  const [gone, left] = [sumSwept(deleted), sumSwept(waiting)]
  return {
    deletedBytes: gone.bytes,
    deletedObjects: gone.count,
    kept: kept.map(listKept),
    waitingBytes: left.bytes,
    waitingObjects: left.count,
    postponedFor: postponedFor ?? null,
  }
}

/** What the store keeps of what was to be deleted, as programs are told of it. */
export function listKept({ retainedUntilMs, ...kept }: KeptBytes): KeptListing {
  const until = retainedUntilMs === undefined ? null : formatInstant(instantFromMs(retainedUntilMs))
  return { ...kept, retainedUntil: until }
}

/** Of all kinds together. */
export function sumSwept(kinds: SweptKinds): { readonly count: number; readonly bytes: number } {
  const all = Object.values(kinds)
  return {
    count: all.reduce((sum, { count }) => sum + count, 0),
    bytes: all.reduce((sum, { bytes }) => sum + bytes, 0),
  }
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
