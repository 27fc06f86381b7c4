import { open, rm, symlink, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { type BytePath, fromBytePath, toBytePath } from '../platform/byte-path.ts'
import type { ArchivePlace } from '../archive/archive-place.ts'
import type { RunContext } from '../domain/run-context.ts'
import { hasSystemCode } from '../platform/durable-file.ts'
import { wholeFileSystemSync } from '../platform/sync-file-system.ts'
import { lookAt, type ForbiddenPlaces } from './check-path.ts'
import { claimPlaces } from './claim-places.ts'
import type { GatheredFacts } from './gather-restore-facts.ts'
import { leadsOutside } from './leads-outside.ts'
import type { RestorePlan } from './plan-restore.ts'
import { createFiles, removeLeftovers } from './prepare-files.ts'
import { stopOrphan } from './postmaster-file.ts'
import { recoverySettings } from './recovery-settings.ts'
import { markerFile, supersededMarkerFile } from './restore-marker.ts'
import { renderTablespaceMap } from './tablespace-map.ts'
import { writeFailure } from './unpacker.ts'
import { placeOf, writePacks, type SparePackSource, type WrittenBytes } from './write-packs.ts'
import { writeControlFile, writeRecoveryFiles } from './write-recovery-files.ts'

export interface ApplyRequest {
  readonly plan: RestorePlan
  readonly facts: GatheredFacts
  readonly workers: number | undefined
  readonly restoreCommand: string
  readonly forbidden: ForbiddenPlaces
  readonly spares?: SparePackSource | undefined
}

/**
 * Brings the backup's files into the planned places (R47). Dying at any point before the last step leaves directories
 * that carry our marker and, because there is no control file, cannot be started; the same restore again completes them.
 * The marker stays: whoever finishes the restore removes it.
 */
export async function applyRestore(
  { plan, facts, workers, restoreCommand, forbidden, spares }: ApplyRequest,
  place: ArchivePlace,
  context: RunContext,
): Promise<WrittenBytes> {
  const { head, layout } = facts
  const dataDirectory = plan.request.targetDirectory
  const rootPaths = new Map(plan.places.map(({ root, path }) => [root, toBytePath(Buffer.from(path))]))
  await claimPlaces({ plan, head, forbidden }, context)
  await stopOrphan(dataDirectory, 'at once', context)
  // From here on no server starts in the directory until the control file is back.
  await removeControlFile(dataDirectory)
  if (plan.isDelta) await removeLeftovers({ layout, rootPaths }, context)
  const sync = await wholeFileSystemSync(await createFiles({ layout, rootPaths }, context))
  const written = await writePacks(
    {
      ...place,
      head,
      layout,
      rootPaths,
      workers,
      spares,
      isDelta: plan.isDelta,
      syncsFiles: sync === undefined,
    },
    context,
  )
  await makeLinks(plan, facts, rootPaths)
  const settings = recoverySettings({
    ...plan,
    action: plan.request.target.action,
    restoreCommand,
    continuesLineage: plan.request.continuesLineage,
  })
  await writeRecoveryFiles(dataDirectory, {
    backupLabel: head.backupLabelFile,
    tablespaceMap: renderTablespaceMap(head, plan.places),
    settings,
  })
  if (sync === undefined) {
    await syncDirectories([
      ...rootPaths.values(),
      ...layout.directories.map((directory) => placeOf({ rootPaths }, directory)),
    ])
  } else {
    context.report({ kind: 'note', message: `syncing the file systems of ${layout.files.count} files` })
    await sync(context.signal)
  }
  context.signal.throwIfAborted()
  // Dying before this: no control file. After it: a complete cluster that can only recover by its backup_label (R57).
  await writeControlFile(dataDirectory, layout.files.sizeBytes(layout.controlFile))
  return written
}

/**
 * The last step of a restore: from now on the directories are not ours any more. Where files were left out they stay, for
 * that is never a complete cluster.
 */
export async function removeMarkers(plan: RestorePlan): Promise<void> {
  if (plan.leftOut !== undefined) return
  for (const { path } of plan.places.toReversed()) {
    await rm(join(path, supersededMarkerFile), { force: true })
    await rm(join(path, markerFile), { force: true })
    await syncDirectories([toBytePath(Buffer.from(path))])
  }
}

async function removeControlFile(dataDirectory: string): Promise<void> {
  const folder = join(dataDirectory, 'global')
  if ((await lookAt(folder))?.isDirectory() !== true) return
  try {
    await unlink(join(folder, 'pg_control'))
  } catch (cause) {
    if (!hasSystemCode(cause, 'ENOENT')) throw writeFailure(folder, cause)
  }
  await syncDirectories([toBytePath(Buffer.from(folder))])
}

/** Links come after all files, so that nothing is ever written through one. */
async function makeLinks(
  plan: RestorePlan,
  { layout }: GatheredFacts,
  rootPaths: ReadonlyMap<number, BytePath>,
): Promise<void> {
  for (const { root, path } of plan.places) {
    if (root === 0) continue
    const link = placeOf({ rootPaths }, { root: 0, path: `pg_tblspc/${root}` })
    await makeLink(link, Buffer.from(path))
  }
  for (const link of layout.links) {
    if (!leadsOutside(link)) await makeLink(placeOf({ rootPaths }, link), fromBytePath(link.target))
  }
}

async function makeLink(place: BytePath, target: Buffer): Promise<void> {
  const path = fromBytePath(place)
  try {
    await rm(path, { force: true })
    await symlink(target, path)
  } catch (cause) {
    throw writeFailure(place, cause)
  }
}

async function syncDirectories(places: readonly BytePath[]): Promise<void> {
  for (const place of places) {
    try {
      await using folder = await open(fromBytePath(place), 'r')
      await folder.sync()
    } catch (cause) {
      throw writeFailure(place, cause)
    }
  }
}
