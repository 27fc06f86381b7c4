import type { RecoveryTarget } from '../domain/recovery-target.ts'
import type { TimelineId } from '../domain/timeline.ts'
import { stopSettings, type RecoveryStop } from './recovery-stop.ts'

export interface RecoveryConfiguration {
  readonly stop: RecoveryStop
  readonly timeline: TimelineId
  readonly action: RecoveryTarget['action']
  readonly restoreCommand: string
  readonly continuesLineage: boolean
}

/** What a recovery out of our archive needs in postgresql.auto.conf, before that which only some targets need. */
export function recoverySettings(configuration: RecoveryConfiguration): Record<string, string> {
  const { stop, timeline, action, restoreCommand, continuesLineage } = configuration
  return {
    // Of an earlier recovery or a standby; other files may set them as well (R44).
    primary_conninfo: '',
    primary_slot_name: '',
    recovery_end_command: '',
    archive_cleanup_command: '',
    recovery_min_apply_delay: '0',
    restore_command: restoreCommand,
    // Never "latest": which timelines there are may change until the server asks (R37).
    recovery_target_timeline: String(timeline),
    ...stopSettings(stop),
    recovery_target_action: action,
    ...lineageSettings(continuesLineage),
  }
}

/** What stays after recovery: a copy must not archive into the lineage that it was made from (R49). */
export function lineageSettings(continuesLineage: boolean): Record<string, string> {
  return continuesLineage ? {} : { archive_mode: 'off' }
}

const targets = ['', '_time', '_lsn', '_xid', '_name'].map((suffix) => `recovery_target${suffix}`)

/**
 * The targets that are not ours, emptied: any configuration file that is read, also an included one, may set another, and
 * PostgreSQL refuses two of them. They must stand before ours, because it looks at each when it reads it.
 */
export function emptiedTargets(settings: Readonly<Record<string, string>>): Record<string, string> {
  const foreign = targets.filter((name) => !Object.hasOwn(settings, name))
  return Object.fromEntries(foreign.map((name) => [name, '']))
}
