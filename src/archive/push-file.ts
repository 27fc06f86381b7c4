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
}

const defaultCompressionLevel = 1
/** How long a stored segment waits for its index, which nothing depends on. */
const waitForIndexMs = 1000

/**
 * Archives one file: when it resolves, every repository holds the content durably under this name (R22). Right to repeat
 * at any time. A name that has another content already gets both, side by side, and a warning: refusing would stop all
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
  const outcomes = await Promise.allSettled(
    tools.repositories.map(async (place) => {
      const { answer } = await file.storeIn(place)
      await warnOfConflict(name, place, context)
      return answer
    }),
  )
  const failures = outcomes.filter((outcome) => outcome.status === 'rejected')
  for (const { reason } of failures.slice(1)) reportFailure(reason, context)
  if (failures[0] !== undefined) throw failures[0].reason
  const existedCount = outcomes.filter(
    (outcome) => outcome.status === 'fulfilled' && outcome.value === 'exists',
  ).length
  return { name, modifiedAtNs: file.modifiedAtNs, existedCount }
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
  storeIn(place: ArchivePlace): Promise<StoredWalFile>
}

async function prepare(file: NamedFile, tools: PushTools, context: RunContext): Promise<PreparedFile> {
  const { repositories, compressionLevel = defaultCompressionLevel, seal = sealHere } = tools
  if (file.name.kind === 'history') return openPrepared(file, compressionLevel, context)
  const places = repositories.map(({ repository: { keys }, cluster }) => ({
    clusterId: cluster.id,
    namesKey: keys.namesKey,
    sealing: keys.sealing,
  }))
  context.signal.throwIfAborted()
  const request = { path: file.path, fileName: file.name.name, compressionLevel, places }
  const sealed = await seal(request, context.signal)
  if (sealed.kind === 'large') return openPrepared(file, compressionLevel, context)
  const { sizeBytes, modifiedAtNs, beginning, objects, indexProblem } = sealed
  if (indexProblem !== undefined) warnOfLostIndex(file.name.name, indexProblem, context)
  const storeIn = (place: ArchivePlace): Promise<StoredWalFile> => {
    const object = objects[repositories.indexOf(place)]
    assert.ok(object)
    return storeWithIndex({ name: file.name, ...object }, place, context)
  }
  const release = (): Promise<void> => {
    for (const object of objects) releaseMemory(object.sealed)
    return Promise.resolve()
  }
  return { sizeBytes, modifiedAtNs, beginning, storeIn, [Symbol.asyncDispose]: release }
}

async function openPrepared(
  { path, name }: NamedFile,
  compressionLevel: number,
  context: RunContext,
): Promise<PreparedFile> {
  await using opened = new AsyncDisposableStack()
  const source = opened.use(await openWalSource(path))
  const { sizeBytes, modifiedAtNs } = source
  const beginning = await source.readAt(0, Math.min(sizeBytes, beginningBytes(name)))
  const storeIn = (place: ArchivePlace): Promise<StoredWalFile> =>
    storeWalFile({ source, name, compressionLevel }, place, context)
  const lifetime = opened.move()
  return {
    sizeBytes,
    modifiedAtNs,
    beginning,
    storeIn,
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
  if (file.index !== undefined) await storeIndexInTime(file.index, file.name, { place, context })
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

function reportFailure(reason: unknown, context: RunContext): void {
  const message = reason instanceof Error ? reason.message : String(reason)
  context.report({ kind: 'warning', message: `archiving failed in another repository too: ${message}` })
}
