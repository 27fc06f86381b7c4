import assert from 'node:assert/strict'
import { basename, dirname, join } from 'node:path'
import { readFile } from 'node:fs/promises'
import { parseArchiveFileName, type ArchiveFileName } from '../domain/archive-file-name.ts'
import { formatTimelineHex } from '../domain/timeline.ts'
import { parseTimelineHistory, type TimelineHistory } from '../domain/timeline-history.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { describePlace, type ArchivePlace } from './archive-place.ts'
import { listContents } from './archived-contents.ts'
import { checkArchivedFile, decodeText, type FileBeginning } from './check-archived-file.ts'
import { FileMemory } from './file-memory.ts'
import {
  beginningBytes,
  sealWholeFile,
  type SealAnswer,
  type SealedObject,
  type SealRequest,
} from './seal-whole-file.ts'
import { settleEnough } from '../platform/settle-enough.ts'
import { releaseMemory } from './release-memory.ts'
import { warnOfLostIndex } from './stored-wal-index.ts'
import { storeSealedFile, storeWalFile, type StoredWalFile } from './store-wal-file.ts'
import { openWalSource } from './wal-source.ts'

export interface PushRequest {
  readonly path: string
  /** Under which name it is archived. Default: the file's own. */
  readonly name?: string
}

export interface PushTools {
  /** All of them get the file. */
  readonly repositories: readonly ArchivePlace[]
  /** How many of them must hold it. Default: all of them. */
  readonly required?: number
  /** zstd level. Default: 1, which loses little on WAL and keeps up with the server. */
  readonly compressionLevel?: number
  /** Where files that are not large are read and computed. Default: in this thread, at once, and segments are indexed. */
  readonly seal?: (request: SealRequest, signal: AbortSignal) => Promise<SealAnswer>
}

export interface PushedFile {
  readonly name: ArchiveFileName
  /** Which version of the file was archived, in nanoseconds. */
  readonly modifiedAtNs: bigint
  /** In how many repositories the same content was before. */
  readonly existedCount: number
  /** Those that do not hold it, where not all must. */
  readonly behind: readonly ArchivePlace[]
}

const defaultCompressionLevel = 1
/** How long a stored segment waits for its index, which nothing depends on. */
const waitForIndexMs = 1000
/** How long the others have to store a file when enough repositories have. */
const storingGraceMs = 5000

/**
 * Archives one file: when it resolves, every repository, or as many as are required, holds the content durably under this
 * name (R22). Then the others have a few seconds more; those that need longer, or fail, are behind. Right to repeat at any time. A name that has another content already gets both, side by side, and a warning: refusing would stop all
 * archiving behind it (R23, M11). Throws `segment-invalid` when the file must not stand under this name, before anything
 * is stored.
 */
export async function pushFile(
  request: PushRequest,
  tools: PushTools,
  context: RunContext,
): Promise<PushedFile> {
  const { path } = request
  const name = parseArchiveFileName(request.name ?? basename(path))
  await using file = await prepare({ path, name }, tools, context)
  const beginning = { bytes: file.beginning, sizeBytes: file.sizeBytes }
  await refuseUnfit({ path, name, beginning }, tools.repositories)
  const outcomes = await storeEverywhere({ name, file }, tools, context)
  // What was not waited for may still be reading the bytes.
  if (outcomes.some((outcome) => outcome.status === 'rejected')) file.keep()
  const { existedCount, behind } = judge({ name, outcomes }, tools, context)
  return { name, modifiedAtNs: file.modifiedAtNs, existedCount, behind }
}

type Outcome = PromiseSettledResult<StoredWalFile['answer']>

async function storeEverywhere(
  { name, file }: { readonly name: ArchiveFileName; readonly file: PreparedFile },
  { repositories, required = repositories.length }: PushTools,
  context: RunContext,
): Promise<readonly Outcome[]> {
  const tasks = repositories.map((place) => async (signal: AbortSignal) => {
    const limited = { ...context, signal }
    const { answer } = await file.storeIn(place, limited)
    return answer
  })
  const late = new OperationError('archive-timeout', `archiving ${name.name}: the others were quicker`)
  return settleEnough(tasks, { enough: required, graceMs: storingGraceMs, late }, context)
}

/** Throws when too few repositories hold the file now. */
function judge(
  { name, outcomes }: { readonly name: ArchiveFileName; readonly outcomes: readonly Outcome[] },
  { repositories, required = repositories.length }: PushTools,
  context: RunContext,
): Pick<PushedFile, 'existedCount' | 'behind'> {
  context.signal.throwIfAborted()
  const failures = outcomes.filter((outcome) => outcome.status === 'rejected')
  const isEnough = outcomes.length - failures.length >= required
  if (isEnough) {
    repositories.forEach((place, at) => {
      const outcome = outcomes[at]
      if (outcome?.status === 'rejected') warnOfBehind({ name, place, reason: outcome.reason }, context)
    })
  } else {
    for (const { reason } of failures.slice(1)) reportFailure(reason, context)
    if (failures[0] !== undefined) throw failures[0].reason
  }
  const isExisting = (outcome: Outcome): boolean =>
    outcome.status === 'fulfilled' && outcome.value === 'exists'
  return {
    existedCount: outcomes.filter(isExisting).length,
    behind: repositories.filter((_, at) => outcomes[at]?.status === 'rejected'),
  }
}

interface NamedFile {
  readonly path: string
  readonly name: ArchiveFileName
}

/** A file that was read, or opened, and has still to be checked. */
interface PreparedFile extends AsyncDisposable {
  readonly sizeBytes: number
  readonly modifiedAtNs: bigint
  readonly beginning: Uint8Array
  storeIn(place: ArchivePlace, context: RunContext): Promise<StoredWalFile>
  /** From now on disposing does not take the bytes away. */
  keep(): void
}

async function prepare(file: NamedFile, tools: PushTools, context: RunContext): Promise<PreparedFile> {
  const { repositories, compressionLevel = defaultCompressionLevel, seal = sealHere } = tools
  if (file.name.kind === 'history') return openPrepared(file, compressionLevel)
  const places = repositories.map(({ repository: { keys }, cluster }) => ({
    clusterId: cluster.id,
    namesKey: keys.namesKey,
    sealing: keys.sealing,
  }))
  context.signal.throwIfAborted()
  const request = { path: file.path, fileName: file.name.name, compressionLevel, places }
  const sealed = await seal(request, context.signal)
  if (sealed.kind === 'large') return openPrepared(file, compressionLevel)
  const { sizeBytes, modifiedAtNs, beginning, objects, indexProblem } = sealed
  if (indexProblem !== undefined) warnOfLostIndex(file.name.name, indexProblem, context)
  const storeIn: PreparedFile['storeIn'] = (place, limited) => {
    const object = objects[repositories.indexOf(place)]
    assert.ok(object)
    return storeWithIndex({ name: file.name, ...object }, place, limited)
  }
  let isKept = false
  const keep = (): void => {
    isKept = true
  }
  const release = (): Promise<void> => {
    if (!isKept) for (const object of objects) releaseMemory(object.sealed)
    return Promise.resolve()
  }
  return { sizeBytes, modifiedAtNs, beginning, storeIn, keep, [Symbol.asyncDispose]: release }
}

async function openPrepared({ path, name }: NamedFile, compressionLevel: number): Promise<PreparedFile> {
  await using opened = new AsyncDisposableStack()
  const source = opened.use(await openWalSource(path))
  const { sizeBytes, modifiedAtNs } = source
  const beginning = await source.readAt(0, Math.min(sizeBytes, beginningBytes(name)))
  const lifetime = opened.move()
  return {
    sizeBytes,
    modifiedAtNs,
    beginning,
    storeIn: async (place, context) => {
      const stored = await storeWalFile({ source, name, compressionLevel }, place, context)
      await warnOfConflict(name, place, context)
      return stored
    },
    // Reading a file that is closed fails, and gives no other bytes.
    keep: () => undefined,
    [Symbol.asyncDispose]: () => lifetime.disposeAsync(),
  }
}

/** The segment first: nothing about its index may keep it waiting. */
async function storeWithIndex(
  file: SealedObject & { readonly name: ArchiveFileName },
  place: ArchivePlace,
  context: RunContext,
): Promise<StoredWalFile> {
  const answer = await storeSealedFile(file, place, context)
  // At once: a store may be far away.
  await Promise.all([
    file.index && storeIndexInTime(file.index, file.name, { place, context }),
    warnOfConflict(file.name, place, context),
  ])
  return answer
}

/** The index may fail, and is not waited for long. */
async function storeIndexInTime(
  { key, sealed }: NonNullable<SealedObject['index']>,
  { name }: ArchiveFileName,
  { place, context }: { readonly place: ArchivePlace; readonly context: RunContext },
): Promise<void> {
  const ended = new AbortController()
  const limited = { ...context, signal: AbortSignal.any([context.signal, ended.signal]) }
  const stored = place.repository.store.putIfAbsent(key, sealed, limited).then(
    () => undefined,
    (error: unknown) => {
      if (!limited.signal.aborted) warnOfLostIndex(name, error, context)
    },
  )
  await Promise.race([stored, context.clock.sleep(waitForIndexMs, limited.signal).catch(() => undefined)])
  ended.abort()
}

/** A segment gets its index here. In a backlog it is archived without: the scanner comes late, and would be cold there. */
export const sealHere: NonNullable<PushTools['seal']> = async (request) => {
  const memory = new FileMemory()
  const sealed = sealWholeFile(request, memory)
  if (sealed.kind === 'large' || parseArchiveFileName(request.fileName).kind !== 'segment') return sealed
  const { addIndexes } = await import('./seal-wal-index.ts')
  return addIndexes(sealed, memory.take(sealed.sizeBytes), request)
}

async function refuseUnfit(
  { path, name, beginning }: NamedFile & { readonly beginning: FileBeginning },
  places: readonly ArchivePlace[],
): Promise<void> {
  const history = await readHistoryBeside(path, name)
  for (const place of places) {
    const verdict = checkArchivedFile(name, beginning, { ...place, history })
    if (verdict.kind === 'invalid') {
      throw new OperationError(
        'segment-invalid',
        `archiving "${path}" as ${name.name} for ${describePlace(place)}: it ${verdict.reason}`,
        {
          hint: 'Find out which server this file is from: check the cluster that its archive_command names, and take nothing out of pg_wal.',
        },
      )
    }
  }
}

/** The server keeps the history of its timeline in pg_wal. Without it the check of the timeline is weaker, not wrong. */
async function readHistoryBeside(
  path: string,
  { kind, timeline }: ArchiveFileName,
): Promise<TimelineHistory | undefined> {
  if (timeline === 1 || kind === 'history') return undefined
  try {
    const bytes = await readFile(join(dirname(path), `${formatTimelineHex(timeline)}.history`))
    return parseTimelineHistory(timeline, decodeText(bytes))
  } catch {
    return undefined
  }
}

async function warnOfConflict(
  name: ArchiveFileName,
  place: ArchivePlace,
  context: RunContext,
): Promise<void> {
  const digests = await listContents(name, place, context)
  if (digests.length < 2) return
  context.report({
    kind: 'warning',
    message: `archiving ${name.name} for ${describePlace(place)}: there are ${digests.length} different contents of this name now: ${digests.join(', ')}`,
    hint: 'Two servers archive as the same cluster, or one was restored and went its own way: give one of them another cluster name.',
  })
}

function warnOfBehind(
  {
    name,
    place,
    reason,
  }: { readonly name: ArchiveFileName; readonly place: ArchivePlace; readonly reason: unknown },
  context: RunContext,
): void {
  const why = reason instanceof Error ? reason.message : String(reason)
  context.report({
    kind: 'warning',
    message: `${name.name} is archived, but not for ${describePlace(place)}: ${why}`,
    hint: 'When it is well again, run "holdfast repo copy": it brings there what it lacks.',
  })
}

function reportFailure(reason: unknown, context: RunContext): void {
  const message = reason instanceof Error ? reason.message : String(reason)
  context.report({ kind: 'warning', message: `archiving failed in another repository too: ${message}` })
}
