import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { PrefetchFolder } from '../archive/prefetch-folder.ts'
import { parseLsn } from '../domain/lsn.ts'
import { quote } from '../domain/quote.ts'
import type { RunContext } from '../domain/run-context.ts'
import { readControlFile } from '../postgres/control-file.ts'
import { removeMarkers } from './apply-restore.ts'
import { controlFilePath } from './check-entry.ts'
import { claimPlaces, type ClaimRequest } from './claim-places.ts'
import type { Reached } from './drive-recovery.ts'
import type { RestorePlan } from './plan-restore.ts'
import { stopOrphan } from './postmaster-file.ts'
import { lineageSettings } from './recovery-settings.ts'
import { recoveryLog, type Recovered } from './restore-marker.ts'
import { writeAutoConf } from './write-recovery-files.ts'

/**
 * The last steps of a restore whose server has ended. The marker goes when everything else is durable: dying before that
 * leaves a directory that the same restore takes up again, dying after it one that has nothing of ours.
 */
export async function completeRestore(
  plan: RestorePlan,
  { isPromoted }: Pick<Reached, 'isPromoted'>,
  context: RunContext,
): Promise<void> {
  const { targetDirectory, continuesLineage } = plan.request
  await removePrefetched(targetDirectory, context)
  await rm(join(targetDirectory, recoveryLog), { force: true })
  // Recovery is over: its settings would act on the next standby or recovery made of this directory (R44).
  if (isPromoted) await writeAutoConf(targetDirectory, lineageSettings(continuesLineage))
  await removeTemporaries(targetDirectory)
  await removeMarkers(plan)
}

/** Of runs that were killed while they wrote a file; it is ours alone until the marker goes. */
async function removeTemporaries(dataDirectory: string): Promise<void> {
  const names = (await readdir(dataDirectory)).filter((name) => /^\.holdfast-[0-9a-f]{32}\.tmp$/.test(name))
  for (const name of names) await rm(join(dataDirectory, name), { force: true })
}

/** Completes what a dead restore had recovered and promoted. Only what is ours is changed: it is somebody's database. */
export async function completeRecovered(
  { plan, ...request }: ClaimRequest & { readonly plan: RestorePlan },
  { lsn, commitTime }: Recovered,
  context: RunContext,
): Promise<Reached> {
  const { targetDirectory } = plan.request
  const message = `${quote(targetDirectory)} was recovered and promoted by an earlier run of this restore; only its clean-up is done`
  context.report({ kind: 'note', message })
  await claimPlaces({ plan, ...request }, context)
  await stopOrphan(targetDirectory, 'cleanly', context)
  const { control } = await readControlFile(join(targetDirectory, controlFilePath), context)
  await completeRestore(plan, { isPromoted: true }, context)
  return { lsn: parseLsn(lsn), commitTime, timeline: control.timeline, isPromoted: true }
}

/** Segments that were fetched ahead and not needed. The cluster is as it should be without that. */
async function removePrefetched(dataDirectory: string, { report, clock }: RunContext): Promise<void> {
  const folder = new PrefetchFolder(join(dataDirectory, 'pg_wal'), clock)
  try {
    await folder.remove()
  } catch (error) {
    report({
      kind: 'warning',
      message: `removing ${quote(folder.path)} failed: ${String(error)}; nothing needs it, remove it by hand`,
    })
  }
}
