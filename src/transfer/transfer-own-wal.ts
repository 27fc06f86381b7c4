import { describePlace } from '../archive/archive-place.ts'
import { listContents } from '../archive/archived-contents.ts'
import { copyArchivedFile, digestArchivedFile } from '../archive/copy-archived-file.ts'
import { parseArchiveFileName, type ArchiveFileName } from '../domain/archive-file-name.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { formatTimelineHex } from '../domain/timeline.ts'
import { segmentRange } from '../domain/wal-segment.ts'
import type { ListedBackup } from '../repository/backup-entry.ts'
import type { TransferPlaces } from './transfer-places.ts'
import type { CopiedWal } from './transfer-wal.ts'

/**
 * Copies the WAL of a backup, from its start to its stop, and reads all of it back in the other repository: it is there, whole,
 * and the same as here (R18). Throws `wal-missing` when some is in neither, `repositories-differ` when the other one has another
 * content of a name, and `damaged`.
 */
export async function transferOwnWal(
  backup: ListedBackup,
  places: TransferPlaces,
  context: RunContext,
): Promise<CopiedWal> {
  const copied = { count: 0, bytes: 0 }
  for (const name of namesOf(backup, places)) {
    const there = await listContents(name, places.to, context)
    if (there.length === 0) {
      for (const digest of await requireContents(name, { backup, places }, context)) {
        copied.bytes += await copyArchivedFile({ name, digest, part: 0 }, places, context)
        copied.count += 1
      }
    }
    await proveSame(name, { backup, places }, context)
  }
  return copied
}

function* namesOf(
  { timeline, startLsn, stopLsn }: ListedBackup,
  { from }: TransferPlaces,
): Generator<ArchiveFileName, void> {
  if (timeline > 1) yield parseArchiveFileName(`${formatTimelineHex(timeline)}.history`)
  const range = { from: startLsn, to: stopLsn }
  for (const name of segmentRange(timeline, range, from.cluster.walSegmentSize))
    yield parseArchiveFileName(name)
}

interface Owned {
  readonly backup: ListedBackup
  readonly places: TransferPlaces
}

async function requireContents(
  name: ArchiveFileName,
  { backup, places: { from, to } }: Owned,
  context: RunContext,
): Promise<readonly string[]> {
  const digests = await listContents(name, from, context)
  if (digests.length > 0) return digests
  throw new OperationError(
    'wal-missing',
    `copying backup ${backup.label}: ${name.name} is missing in ${describePlace(from)}, and in ${describePlace(to)} too`,
    { hint: 'It cannot be restored from either; take a new backup.' },
  )
}

/** Digests of two repositories have different keys: what is there is read, and named as it would be here. */
async function proveSame(
  name: ArchiveFileName,
  { backup, places: { from, to } }: Owned,
  context: RunContext,
): Promise<void> {
  const here = new Set(await listContents(name, from, context))
  const there = await listContents(name, to, context)
  const { namesKey } = from.repository.keys
  if (there.length > 1) {
    throw new OperationError(
      'target-ambiguous',
      `copying backup ${backup.label}: ${name.name} has ${there.length} contents in ${describePlace(to)}`,
      { hint: 'Two servers have archived as this cluster: nobody can tell which content is right.' },
    )
  }
  for (const digest of there) {
    const asHere = await digestArchivedFile({ name, digest, part: 0 }, { place: to, namesKey }, context)
    // What is lost here, and whole there, is good enough.
    if (here.size === 0 || here.has(asHere)) continue
    throw new OperationError(
      'repositories-differ',
      `copying backup ${backup.label}: ${describePlace(to)} has another content of ${name.name}`,
      {
        hint: 'Two servers have archived as this cluster: find out which one is right, and give the other a name of its own.',
      },
    )
  }
}
