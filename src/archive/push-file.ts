import { basename, dirname, join } from 'node:path'
import { readFile } from 'node:fs/promises'
import { parseArchiveFileName, type ArchiveFileName } from '../domain/archive-file-name.ts'
import { formatTimelineHex } from '../domain/timeline.ts'
import { parseTimelineHistory, type TimelineHistory } from '../domain/timeline-history.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { walPageSize } from '../wal/page-header.ts'
import { describePlace, type ArchivePlace } from './archive-place.ts'
import { listContents } from './archived-contents.ts'
import { checkArchivedFile, decodeText } from './check-archived-file.ts'
import { sealWholeFile } from './seal-whole-file.ts'
import { storeWalFile, type StoreRequest } from './store-wal-file.ts'
import { openWalSource, type WalSource } from './wal-source.ts'

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
  /** Where the computing is done. Default: in this thread, at once. */
  readonly seal?: StoreRequest['seal']
}

export interface PushedFile {
  readonly name: ArchiveFileName
  /** Which version of the file was archived, in nanoseconds. */
  readonly modifiedAtNs: bigint
  /** In how many repositories the same content was before. */
  readonly existedCount: number
}

const defaultCompressionLevel = 1

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
  const name = parseArchiveFileName(request.name ?? basename(request.path))
  await using source = await openWalSource(request.path)
  await refuseUnfit({ source, name }, tools.repositories)
  const { compressionLevel = defaultCompressionLevel, seal = sealHere } = tools
  const outcomes = await Promise.allSettled(
    tools.repositories.map(async (place) => {
      const { answer } = await storeWalFile({ source, name, compressionLevel, seal }, place, context)
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
  return { name, modifiedAtNs: source.modifiedAtNs, existedCount }
}

const sealHere: StoreRequest['seal'] = (request) => Promise.resolve(sealWholeFile(request))

async function refuseUnfit(
  { source, name }: { source: WalSource; name: ArchiveFileName },
  places: readonly ArchivePlace[],
): Promise<void> {
  const beginning = name.kind === 'segment' || name.kind === 'partial' ? walPageSize : source.sizeBytes
  const bytes = await source.readAt(0, Math.min(source.sizeBytes, beginning))
  const history = await readHistoryBeside(source.path, name)
  for (const place of places) {
    const verdict = checkArchivedFile(name, { bytes, sizeBytes: source.sizeBytes }, { ...place, history })
    if (verdict.kind === 'invalid') {
      throw new OperationError(
        'segment-invalid',
        `archiving "${source.path}" as ${name.name} for ${describePlace(place)}: it ${verdict.reason}`,
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
