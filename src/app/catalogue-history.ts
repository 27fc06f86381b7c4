import { isOperationError, OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { readCatalogueEntries, readNewestEntry, type CatalogueEntry } from '../repository/catalogue.ts'
import type { HighWaterMark } from './high-water-mark.ts'
import type { ClusterRepository } from './open-cluster.ts'

type Place = Pick<ClusterRepository, 'repository' | 'cluster'>

export interface Continuation {
  /** Undefined: nothing was ever listed. */
  readonly newest: CatalogueEntry | undefined
  readonly fault?: ContinuationFault
}

/** Why a catalogue does not continue what was seen: a phrase that follows "the catalogue". */
export interface ContinuationFault {
  readonly message: string
  readonly cause?: unknown
}

/**
 * The newest entry, and what is wrong when it does not continue the marked one: a lower number, another entry under a
 * number that was seen, or one between them that does not name the one before it.
 */
export async function readSince(
  place: Place,
  mark: HighWaterMark | undefined,
  context: RunContext,
): Promise<Continuation> {
  const newest = await readNewestEntry(place.repository, place.cluster.id, context)
  if (mark === undefined || mark.number === 0 || newest?.digest === mark.digest) return { newest }
  if (newest === undefined)
    return { newest, fault: { message: `went back from entry #${mark.number} to none` } }
  if (newest.number <= mark.number)
    return { newest, fault: { message: stepBack(mark.number, newest.number) } }
  try {
    return { newest: await followEntries(place, mark, context) }
  } catch (cause) {
    if (!isOperationError(cause, 'damaged')) throw cause
    const message = `does not lead from entry #${mark.number}, which this host has seen, to its newest #${newest.number}`
    return { newest, fault: { message, cause } }
  }
}

function stepBack(seen: number, found: number): string {
  return found < seen
    ? `went back from entry #${seen} to #${found}`
    : `has another entry #${seen} than the one that this host has seen`
}

/** The newest entry, when all from the marked one on name the one before them. Throws `damaged`. */
async function followEntries(
  { repository, cluster }: Place,
  mark: HighWaterMark,
  context: RunContext,
): Promise<CatalogueEntry | undefined> {
  const range = { clusterId: cluster.id, from: mark.number }
  let newest: CatalogueEntry | undefined
  for await (const entry of readCatalogueEntries(repository, range, context)) {
    if (newest === undefined && entry.digest !== mark.digest)
      throw new OperationError('damaged', `reading the catalogue: entry #${mark.number} is another one`)
    newest = entry
  }
  return newest
}
