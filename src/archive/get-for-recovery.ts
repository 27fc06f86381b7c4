import { basename, dirname } from 'node:path'
import { parseArchiveFileName } from '../domain/archive-file-name.ts'
import type { RunContext } from '../domain/run-context.ts'
import { nextSegmentName, type WalSegmentName } from '../domain/wal-segment.ts'
import type { ArchivePlace } from './archive-place.ts'
import { getFile, type GetAnswer, type GetRequest } from './get-file.ts'
import { removeLeftovers } from './write-content.ts'
import { PrefetchFolder } from './prefetch-folder.ts'

export interface GetForRecoveryTools {
  readonly repositories: readonly ArchivePlace[]
  /** Starts a prefetcher that outlives us. Undefined: nothing is fetched ahead. */
  readonly startPrefetcher:
    | ((request: { readonly walFolder: string; readonly after: string }) => Promise<void>)
    | undefined
}

/** How long a segment that the prefetcher is fetching at this moment is waited for. */
const inProgressForMs = 5000
const inProgressPauseMs = 5

/**
 * Answers PostgreSQL as `getFile` does, and sees to it that the segments after this one are fetched ahead of its asking.
 * That the second thing fails never changes the answer.
 */
export async function getForRecovery(
  request: GetRequest,
  tools: GetForRecoveryTools,
  context: RunContext,
): Promise<GetAnswer> {
  const name = parseArchiveFileName(request.name)
  const walFolder = dirname(request.destination)
  if (basename(walFolder) !== 'pg_wal') return getFile(request, tools, context)
  await tidy(request.destination, context)
  if (name.kind !== 'segment' || tools.startPrefetcher === undefined) return getFile(request, tools, context)
  const folder = new PrefetchFolder(walFolder, context.clock)
  if (await tryToTake(folder, request, context)) return { kind: 'found' }
  const answer = await getFile(request, tools, context)
  if (answer.kind === 'absent') return answer
  try {
    if (!(await folder.isInRecovery())) return answer
    await folder.create()
    await folder.tellAsked(name.name)
    if (!(await folder.hasOwner())) await begin(folder, { walFolder, name: name.name }, tools)
  } catch (error) {
    warn('nothing is fetched ahead of recovery', error, context)
  }
  return answer
}

/** Starts a prefetcher and lets the restore_command wait for the segment that it will fetch first. */
async function begin(
  folder: PrefetchFolder,
  { walFolder, name }: { readonly walFolder: string; readonly name: WalSegmentName },
  { repositories, startPrefetcher }: GetForRecoveryTools,
): Promise<void> {
  const segmentSize = repositories[0]?.cluster.walSegmentSize
  if (segmentSize === undefined || startPrefetcher === undefined) return
  // One that was announced and did not come: prefetchers die at their start here, so waiting again would be in vain too.
  if (await folder.isAnnounced(name)) await folder.withdraw(name)
  else await folder.announce(nextSegmentName(name, segmentSize))
  await startPrefetcher({ walFolder, after: name })
}

/** What stays there is in nobody's way but takes room. */
async function tidy(destination: string, context: RunContext): Promise<void> {
  try {
    await removeLeftovers(destination)
  } catch (error) {
    warn('what an earlier run has left stays in pg_wal', error, context)
  }
}

/** False when it could not be taken, whatever the reason: the repository has it as well. */
async function tryToTake(folder: PrefetchFolder, request: GetRequest, context: RunContext): Promise<boolean> {
  try {
    return await takeFetched(folder, request, context)
  } catch (error) {
    context.signal.throwIfAborted()
    warn(`${request.name} was not taken from what is fetched ahead`, error, context)
    return false
  }
}

function warn(what: string, error: unknown, context: RunContext): void {
  const message = error instanceof Error ? error.message : String(error)
  context.report({ kind: 'warning', message: `${what}: ${message}` })
}

/** True when the prefetcher had it, or has finished it meanwhile. */
async function takeFetched(
  folder: PrefetchFolder,
  { name, destination }: GetRequest,
  context: RunContext,
): Promise<boolean> {
  const until = context.clock.monotonic() + inProgressForMs
  while (await folder.isInProgress(name)) {
    if (context.clock.monotonic() > until || !(await folder.hasOwner())) return false
    await context.clock.sleep(inProgressPauseMs, context.signal)
  }
  // It was renamed before its temporary name went away, so it is here now if it was ever finished.
  return folder.take(name, destination)
}
