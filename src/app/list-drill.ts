import type { DrillListing, DumpDrillListing } from '../api/drill-document.ts'
import { formatLsn } from '../domain/lsn.ts'
import { formatInstant, instantFromMs } from '../domain/target-time.ts'
import type { DrillReport } from '../drill/drill-report.ts'
import type { DumpDrillReport } from '../drill/dump-drill-report.ts'

/** A drill as programs are told of it. */
export function listDrill({ beganAtMs, reached, ...report }: DrillReport): DrillListing {
  return {
    beganAt: formatInstant(instantFromMs(beganAtMs)),
    ...report,
    backup: reached?.backup ?? null,
    reachedLsn: reached === undefined ? null : formatLsn(reached.lsn),
    lastCommitAt: reached?.lastCommitAt ?? null,
    archivedCommitAt: reached?.archivedCommitAt ?? null,
  }
}

/** A drill of a dump as programs are told of it. */
export function listDumpDrill({
  beganAtMs,
  label,
  serverVersion,
  ...report
}: DumpDrillReport): DumpDrillListing {
  return {
    beganAt: formatInstant(instantFromMs(beganAtMs)),
    dump: label,
    serverVersion: serverVersion ?? null,
    ...report,
  }
}
