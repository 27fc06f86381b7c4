import { isOperationError, OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import {
  emptyCatalogue,
  labelsOf,
  readNewestEntry,
  type Catalogue,
  type CatalogueEntry,
} from '../repository/catalogue.ts'
import { formatInstant, instantFromMs } from '../domain/target-time.ts'
import { readSince, type ContinuationFault } from './catalogue-history.ts'
import {
  readHighWaterMark,
  requireWritableMarks,
  writeHighWaterMark,
  type HighWaterMark,
  type MarkedCatalogue,
} from './high-water-mark.ts'
import type { ClusterRepository } from './open-cluster.ts'
import { findStateDirectories, sharedStateDirectory } from './state-directory.ts'

/*
 * Nothing in a repository can prove that all of it is not an older copy of itself: yesterday's copy is as authentic as
 * today's. So each host remembers the newest catalogue entry that it has seen, its high-water mark, and holds against it
 * whatever it reads later.
 */

/** What this host can say about the age of a catalogue. */
type Freshness =
  /** It is what this host has seen last, or continues it. */
  | { readonly kind: 'proven' }
  /** This host sees it for the first time: older copies look the same. */
  | { readonly kind: 'first-seen' }
  /** It was asked for as it was at a moment of the past: what this host has seen since says nothing about it. */
  | { readonly kind: 'past' }
  /** This host sees it for the first time, and there is nothing in it. */
  | { readonly kind: 'empty' }
  /** What this host has seen is so long ago that the entries since have been removed in part: it cannot tell. */
  | { readonly kind: 'pruned'; readonly seenNumber: number }
  /** It is older than what this host has seen, or another one. */
  | { readonly kind: 'went-back'; readonly error: OperationError; readonly lostLabels: readonly string[] }

export interface JudgedCatalogue {
  readonly catalogue: Catalogue
  /** When its newest entry was written, by the writer's clock; undefined when it has none. */
  readonly writtenAtMs: number | undefined
  readonly freshness: Freshness
  /** Why this host could not remember, or not read what it remembers. */
  readonly forgetful: OperationError | undefined
}

/** The catalogue that is there, for what deletes, builds on it or restores from it: refuses one that went back. */
export async function readGuardedCatalogue(
  place: ClusterRepository,
  context: RunContext,
): Promise<Catalogue> {
  const judged = await judgeCatalogue(place, context)
  const { catalogue, freshness } = judged
  if (freshness.kind === 'went-back') throw freshness.error
  reportDoubts(place, judged, context)
  return catalogue
}

/** Remembers what this host has just written. That was done: what goes wrong now is only warned of. */
export async function rememberCatalogue(place: ClusterRepository, context: RunContext): Promise<void> {
  try {
    reportDoubts(place, await judgeCatalogue(place, context), context)
  } catch (error) {
    if (context.signal.aborted) return
    if (!isOperationError(error)) throw error
    context.report({ kind: 'warning', message: error.message })
  }
}

/**
 * For a restore, which must stay possible in a bad night: refuses a catalogue that went back unless older ones are
 * accepted. Nothing is remembered then, so everybody else still refuses it.
 */
export async function guardRestore(
  place: ClusterRepository,
  acceptsOlder: boolean,
  context: RunContext,
): Promise<void> {
  const judged = await judgeCatalogue(place, context)
  if (judged.freshness.kind === 'went-back' && !acceptsOlder) {
    const { error: cause } = judged.freshness
    throw new OperationError('repository-went-back', cause.message, {
      cause,
      hint: 'Restore from another repository with --repo, or add --accept-older-repository to restore what is there.',
    })
  }
  reportDoubts(place, judged, context)
}

/** Warns of what the judgement leaves open. For those who go on in spite of it. */
export function reportDoubts(
  { name }: ClusterRepository,
  { freshness, writtenAtMs, forgetful }: JudgedCatalogue,
  { report }: RunContext,
): void {
  if (freshness.kind === 'first-seen')
    report({ kind: 'note', message: `repo "${name}": ${firstSeenText(writtenAtMs)}` })
  if (freshness.kind === 'pruned')
    report({ kind: 'warning', message: `repo "${name}": ${prunedText(freshness, writtenAtMs)}` })
  if (freshness.kind === 'went-back') report({ kind: 'warning', message: freshness.error.message })
  if (forgetful !== undefined) {
    const { message, hint } = forgetful
    report({
      kind: 'warning',
      message: `this host cannot remember what it sees in repo "${name}": ${message}`,
      ...(hint !== undefined && { hint }),
    })
  }
}

/** To the second. */
export function formatTime(epochMs: number): string {
  return `${formatInstant(instantFromMs(epochMs)).slice(0, 19).replace('T', ' ')} UTC`
}

export function firstSeenText(writtenAtMs: number | undefined): string {
  const newest = writtenAtMs === undefined ? '' : `; its newest entry is of ${formatTime(writtenAtMs)}`
  return `this host has seen no catalogue of it before, so it cannot prove that it is not an older copy${newest}`
}

export function prunedText(
  { seenNumber }: { readonly seenNumber: number },
  writtenAtMs: number | undefined,
): string {
  const newest = writtenAtMs === undefined ? '' : `; its newest entry is of ${formatTime(writtenAtMs)}`
  return `this host has seen entry #${seenNumber} of the catalogue last, which is no longer kept, so it cannot prove that what is there came out of it${newest}`
}

/**
 * Reads the catalogue, holds it against what this host remembers, and remembers it unless it went back. One of the past is
 * older on purpose: it is neither an alarm nor remembered.
 */
export async function judgeCatalogue(
  place: ClusterRepository,
  context: RunContext,
): Promise<JudgedCatalogue> {
  if (place.repository.store.asOfMs !== undefined) return readPast(place, context)
  const { mark, problem } = await recall(place)
  // The mark is read before the catalogue, which only grows: so a backup that ends meanwhile is no doubt about either.
  const { newest, fault, isPruned } = await readSince(place, mark, context)
  const judged = { catalogue: newest ?? emptyCatalogue, writtenAtMs: newest?.writtenAtMs }
  if (mark !== undefined && fault !== undefined) {
    const freshness = wentBack(place, { fault, mark, catalogue: judged.catalogue })
    return { ...judged, freshness, forgetful: problem }
  }
  const forgetful = problem ?? (await tryToRemember(place, newest))
  if (mark !== undefined) {
    const { number: seenNumber } = mark
    const freshness: Freshness = isPruned === true ? { kind: 'pruned', seenNumber } : { kind: 'proven' }
    return { ...judged, freshness, forgetful }
  }
  return { ...judged, freshness: { kind: newest === undefined ? 'empty' : 'first-seen' }, forgetful }
}

async function readPast(
  { repository, cluster }: ClusterRepository,
  context: RunContext,
): Promise<JudgedCatalogue> {
  const newest = await readNewestEntry(repository, cluster.id, context)
  const freshness = { kind: 'past' } as const
  return {
    catalogue: newest ?? emptyCatalogue,
    writtenAtMs: newest?.writtenAtMs,
    freshness,
    forgetful: undefined,
  }
}

/** Takes the catalogue that is there for what this host has seen last. Throws when that cannot be remembered. */
export async function acceptCatalogue(place: ClusterRepository, context: RunContext): Promise<void> {
  const newest = await readNewestEntry(place.repository, place.cluster.id, context)
  const directory = await requireStateDirectory(place)
  context.signal.throwIfAborted()
  await writeHighWaterMark(directory, namesOf(place), newest === undefined ? emptyMark : markOf(newest))
}

const emptyMark: HighWaterMark = { number: 0, digest: '', writtenAtMs: 0, labels: [] }

interface Memory {
  readonly mark: HighWaterMark | undefined
  readonly problem: OperationError | undefined
}

async function recall(place: ClusterRepository): Promise<Memory> {
  try {
    const mark = await readHighWaterMark(await requireStateDirectory(place), namesOf(place))
    return { mark, problem: undefined }
  } catch (error) {
    if (!isOperationError(error)) throw error
    return { mark: undefined, problem: error }
  }
}

/** Gives why it could not. Two at once may come in any order: the higher one stays. */
async function tryToRemember(
  place: ClusterRepository,
  newest: CatalogueEntry | undefined,
): Promise<OperationError | undefined> {
  try {
    const directory = await requireStateDirectory(place)
    const current = await readHighWaterMark(directory, namesOf(place))
    const mark = newest === undefined ? emptyMark : markOf(newest)
    if (current === undefined || current.number < mark.number)
      await writeHighWaterMark(directory, namesOf(place), mark)
    else await requireWritableMarks(directory)
    return undefined
  } catch (error) {
    if (!isOperationError(error)) throw error
    return error
  }
}

/** In the repository it would go back together with it. */
async function requireStateDirectory({ stateDirectory, repository }: ClusterRepository): Promise<string> {
  const candidates = await findStateDirectories(stateDirectory)
  const repositoryPath = repository.store.location.replace(/^posix:/, '')
  const directory = candidates.find((path) => !`${path}/`.startsWith(`${repositoryPath}/`))
  if (directory !== undefined) return directory
  const found = candidates[0] === undefined ? 'none' : `only "${candidates[0]}" in the repository itself`
  throw new OperationError('file-unwritable', `looking for a place to remember in: found ${found}`, {
    hint: `Make "${sharedStateDirectory}" for the user who runs the tool, or name another place with "state-directory".`,
  })
}

const mostNamed = 5

interface Regress {
  readonly fault: ContinuationFault
  readonly mark: HighWaterMark
  readonly catalogue: Catalogue
}

function wentBack({ name, cluster }: ClusterRepository, { fault, mark, catalogue }: Regress): Freshness {
  const listed = new Set<string>(labelsOf(catalogue))
  const lostLabels = mark.labels.filter((label) => !listed.has(label))
  const error = new OperationError(
    'repository-went-back',
    `the catalogue of cluster "${cluster.name}" in repo "${name}" ${fault.message}${lostText(lostLabels)}`,
    {
      cause: fault.cause,
      hint: `Find out who put another copy of the repository there; "holdfast repo accept --confirm ${name}" takes it as it is now.`,
    },
  )
  return { kind: 'went-back', error, lostLabels }
}

/** The newest of them: the others went with them. */
function lostText(labels: readonly string[]): string {
  if (labels.length === 0) return ''
  const more = labels.length > mostNamed ? ` and ${labels.length - mostNamed} older ones` : ''
  return `; no longer listed: ${labels.slice(-mostNamed).join(', ')}${more}`
}

const namesOf = ({ name, repository, cluster }: ClusterRepository): MarkedCatalogue => ({
  repo: name,
  repositoryId: repository.id,
  clusterId: cluster.id,
})

const markOf = ({ number, digest, writtenAtMs, ...listed }: CatalogueEntry): HighWaterMark => ({
  number,
  digest,
  writtenAtMs,
  labels: [...labelsOf(listed)].toSorted(),
})
