import type { DamageListing, IntegrityListing } from '../api/verify-document.ts'
import { formatLsn } from '../domain/lsn.ts'
import { formatInstant, instantFromMs } from '../domain/target-time.ts'
import type { Damage } from '../verify/damage.ts'
import type { VerifyState } from '../verify/verify-state.ts'

/** A damage as programs are told of it. */
function listDamage({ kind, key, problem, foundAtMs, seenAtMs, backups, lost }: Damage): DamageListing {
  return {
    kind,
    key,
    problem,
    foundAt: formatInstant(instantFromMs(foundAtMs)),
    seenAt: formatInstant(instantFromMs(seenAtMs)),
    backups,
    lostMoments: lost.map(({ timeline, fromLsn, fromTime, until }) => ({
      timeline,
      fromLsn: formatLsn(fromLsn),
      fromTime: formatInstant(fromTime),
      untilBackup: until?.backup ?? null,
      untilLsn: until === undefined ? null : formatLsn(until.lsn),
      untilTime: until === undefined ? null : formatInstant(until.time),
    })),
  }
}

/** What verify remembers, as programs are told of it. */
export function listIntegrity(
  state: Pick<VerifyState, 'lastCompletedAtMs' | 'oldestProofAtMs' | 'damage'> | undefined,
): IntegrityListing {
  return {
    lastCompletedAt: listTime(state?.lastCompletedAtMs),
    oldestProofAt: listTime(state?.oldestProofAtMs),
    damage: (state?.damage ?? []).map(listDamage),
  }
}

function listTime(epochMs: number | undefined): string | null {
  return epochMs === undefined ? null : formatInstant(instantFromMs(epochMs))
}
