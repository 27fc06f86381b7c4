import { nounOf, type BackupLabel } from '../domain/backup-label.ts'
import type { ListedBackup } from '../repository/backup-entry.ts'
import type { BranchNeed } from './branch-needs.ts'
import type { BackupState } from './usability.ts'

/** Something that keeps backups or WAL, and that somebody should look at. */
export interface PlanWarning {
  readonly message: string
  readonly hint: string
}

interface WarningFacts {
  readonly listed: readonly ListedBackup[]
  readonly usable: readonly ListedBackup[]
  readonly stateOf: (backup: ListedBackup) => BackupState
  readonly doubtful: ReadonlyMap<BackupLabel, string>
  /** Undefined: not asked for, since everything is kept. */
  readonly needs: readonly BranchNeed[] | undefined
}

/** What a plan works around. */
export function warnOfPlan(facts: WarningFacts): readonly PlanWarning[] {
  return [...ofUnknown(facts), ...warnOfTimes(facts), ...ofNothingUsable(facts), ...ofBareTimelines(facts)]
}

function ofUnknown({ listed, stateOf }: WarningFacts): readonly PlanWarning[] {
  const unknown = listed.flatMap((backup) => {
    const state = stateOf(backup)
    return state.kind === 'unknown' ? [{ label: backup.label, reason: state.reason }] : []
  })
  return [...Map.groupBy(unknown, ({ reason }) => reason)].map(([reason, those]) => ({
    message: `${namesOf(those)} cannot be judged and ${those.length === 1 ? 'stays' : 'stay'}: ${reason}`,
    hint: 'Put the history of the timeline right: push it from pg_wal of a server, or move a wrong one out of the repository.',
  }))
}

/** Of backups, or of dumps. */
export function warnOfTimes({
  listed,
  doubtful,
}: {
  readonly listed: readonly { readonly label: BackupLabel }[]
  readonly doubtful: ReadonlyMap<BackupLabel, string>
}): readonly PlanWarning[] {
  const those = listed.filter(({ label }) => doubtful.has(label))
  if (those.length > mostNamed) {
    const [reason] = those.flatMap(({ label }) => doubtful.get(label) ?? []).slice(-1)
    const message = `a clock is wrong, or was, so ${namesOf(those)} are not counted: ${reason ?? ''}`
    return [{ message, hint: 'Set the clock right if it is wrong now.' }]
  }
  return those.map(({ label }) => ({
    message: `a clock was wrong, so ${nounOf(label)} ${label} is not counted: ${doubtful.get(label) ?? ''}`,
    hint: `Set the clock right if it is wrong now; when other ${nounOf(label)}s are enough, run "holdfast delete ${label}".`,
  }))
}

function ofNothingUsable({ listed, usable, needs }: WarningFacts): readonly PlanWarning[] {
  const hint = 'Take a new backup, and look at the others with "holdfast verify" and "holdfast info".'
  if (listed.length === 0) return []
  if (usable.length === 0)
    return [{ message: `none of ${listed.length} backups is known to be usable, so nothing expires`, hint }]
  if (needs?.every(({ backups }) => backups.length === 0) !== true) return []
  return [{ message: 'no usable backup leads to what must stay reachable, so all WAL stays', hint }]
}

/** A timeline that no backup was taken on keeps what came before it. */
function ofBareTimelines({ listed, needs = [] }: WarningFacts): readonly PlanWarning[] {
  const isBare = ({ branch }: BranchNeed): boolean =>
    listed.every(({ timeline }) => timeline !== branch.timeline)
  const others = needs
    .filter((need) => !isBare(need))
    .flatMap(({ backups }) => backups.slice(0, 1).map(({ startLsn }) => startLsn))
  return needs.filter(isBare).flatMap(({ branch, backups: [floor] }) => {
    if (floor === undefined || !others.every((start) => start > floor.startLsn) || others.length === 0)
      return []
    return [
      {
        message: `timeline ${branch.timeline} has no backup, and keeps backup ${floor.label} and all WAL since`,
        hint:
          branch.history === undefined
            ? 'Push its history file from pg_wal of a server on it, and take a backup there.'
            : 'Take a backup of the server on it; when there is none, this ends once its WAL is older than what the rules keep.',
      },
    ]
  })
}

const mostNamed = 5

/** Of backups, or of dumps: one at least, and some of the newest by name. */
export function namesOf(backups: readonly { readonly label: BackupLabel }[]): string {
  const names = backups.slice(-mostNamed).map(({ label }) => label)
  const more = backups.length > mostNamed ? ` and ${backups.length - mostNamed} older ones` : ''
  const [noun] = backups.map(({ label }) => nounOf(label))
  return `${noun ?? 'backup'}${backups.length === 1 ? '' : 's'} ${names.join(', ')}${more}`
}
