import { isOperationError, OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { catalogPrefix } from '../repository/object-keys.ts'
import { readCatalogueEntries, readNewestEntry, type CatalogueEntry } from '../repository/catalogue.ts'
import type { HighWaterMark } from './high-water-mark.ts'
import type { ClusterRepository } from './open-cluster.ts'

type Place = Pick<ClusterRepository, 'repository' | 'cluster'>

export interface Continuation {
  /** Undefined: nothing was ever listed. */
  readonly newest: CatalogueEntry | undefined
  readonly fault?: ContinuationFault
  /** The marked entry is older than the oldest that is kept, so that nothing leads from it to the newest any more. */
  readonly isPruned?: true
}

/** Why a catalogue does not continue what was seen: a phrase that follows "the catalogue". */
export interface ContinuationFault {
  readonly message: string
  readonly cause?: unknown
}

/**
 * The newest entry, and what is wrong when it does not continue the marked one: a lower number, another entry under a
 * number that was seen, or one between them that does not name the one before it. Old entries are removed: where that has
 * come past the marked one, the entries that are left are held against each other only.
 */
export async function readSince(
  place: Place,
  mark: HighWaterMark | undefined,
  context: RunContext,
): Promise<Continuation> {
  const newest = await readNewestEntry(place.repository, place.cluster.id, context)
  if (mark === undefined || mark.number === 0 || isNextTo(mark, newest)) return { newest }
  if (newest === undefined)
    return { newest, fault: { message: `went back from entry #${mark.number} to none` } }
  if (newest.number <= mark.number)
    return { newest, fault: { message: stepBack(mark.number, newest.number) } }
  try {
    return { newest: await followEntries(place, mark, context) }
  } catch (cause) {
    if (!isOperationError(cause, 'damaged')) throw cause
    const oldest = await findOldestNumber(place, context)
    if (oldest > mark.number) return followPruned(place, { mark, oldest }, context)
    const message = `does not lead from entry #${mark.number}, which this host has seen, to its newest #${newest.number}`
    return { newest, fault: { message, cause } }
  }
}

/** Whether it is the very entry that was seen, or names it as the one before: which needs nothing else to be read. */
function isNextTo(mark: HighWaterMark, newest: CatalogueEntry | undefined): boolean {
  if (newest === undefined) return false
  return (
    newest.digest === mark.digest || (newest.number === mark.number + 1 && newest.previous === mark.digest)
  )
}

/** A sweep may remove entries meanwhile: then it is tried again with what is left. */
async function followPruned(
  place: Place,
  { mark, oldest }: { readonly mark: HighWaterMark; readonly oldest: number },
  context: RunContext,
): Promise<Continuation> {
  try {
    const newest = await followEntries(place, { number: oldest, digest: undefined }, context)
    return { newest, isPruned: true }
  } catch (cause) {
    if (!isOperationError(cause, 'damaged')) throw cause
    const again = await findOldestNumber(place, context)
    if (again > oldest) return followPruned(place, { mark, oldest: again }, context)
    const message = `does not lead from its oldest entry #${oldest}, which is newer than #${mark.number} that this host has seen, to its newest`
    return {
      newest: await readNewestEntry(place.repository, place.cluster.id, context),
      fault: { message, cause },
    }
  }
}

const entryName = /^\d{10}$/

async function findOldestNumber({ repository, cluster }: Place, context: RunContext): Promise<number> {
  const prefix = catalogPrefix(cluster.id)
  for await (const { key } of repository.store.list(prefix, context)) {
    const name = key.slice(prefix.length)
    if (entryName.test(name)) return Number(name)
  }
  return 0
}

function stepBack(seen: number, found: number): string {
  return found < seen
    ? `went back from entry #${seen} to #${found}`
    : `has another entry #${seen} than the one that this host has seen`
}

/** The newest entry, when all from the given one on name the one before them. Throws `damaged`. */
async function followEntries(
  { repository, cluster }: Place,
  mark: { readonly number: number; readonly digest: string | undefined },
  context: RunContext,
): Promise<CatalogueEntry | undefined> {
  const range = { clusterId: cluster.id, from: mark.number }
  let newest: CatalogueEntry | undefined
  for await (const entry of readCatalogueEntries(repository, range, context)) {
    if (newest === undefined && mark.digest !== undefined && entry.digest !== mark.digest)
      throw new OperationError('damaged', `reading the catalogue: entry #${mark.number} is another one`)
    newest = entry
  }
  return newest
}
