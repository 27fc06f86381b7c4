import { formatByteSize } from '../../domain/byte-size.ts'
import { formatDuration } from '../../domain/duration.ts'
import { formatLsn } from '../../domain/lsn.ts'
import { describeRecoveryTarget } from '../../domain/recovery-target.ts'
import { formatInstant, parseTargetTime } from '../../domain/target-time.ts'
import type { JsonDocument } from '../../api/json-document.ts'
import type { RestorePreview } from '../../app/preview-restore.ts'
import type { Commit } from '../../history/find-edge.ts'
import type { RestorePlan } from '../../restore/plan-restore.ts'
import { stopSettings } from '../../restore/recovery-stop.ts'
import type { RestoreResult } from '../../restore/run-restore.ts'
import type { Answer } from '../command-environment.ts'
import { printable } from './text.ts'

interface PlanDocument extends JsonDocument {
  readonly dryRun: boolean
  readonly targetDirectory: string
  readonly backup: string
  readonly target: string
  /** As PostgreSQL is told; times in UTC. */
  readonly stop: Readonly<Record<string, string>>
  readonly timeline: number
  readonly wal: {
    readonly first: string
    readonly last: string
    readonly segmentCount: number
    readonly endLsn: string
    readonly lastCommitAt: string | null
  }
  readonly places: readonly {
    readonly tablespace: string | null
    readonly directory: string
    readonly state: string
  }[]
  readonly delta: boolean
  readonly filesOnly: boolean
  /** False: archive_mode is turned off in the restored cluster. */
  readonly continuesLineage: boolean
  readonly restoredBytes: number
  readonly warnings: readonly string[]
  /** The last commit that is kept and the first one that is lost; left out when that was not looked up. */
  readonly edge?: {
    readonly lastKept: CommitListing | null
    readonly firstLost: CommitListing | null
    readonly isCertain: boolean
  } | null
  /** By the last drill; null when there was none. Left out with `edge`. */
  readonly estimatedMs?: number | null
}

interface CommitListing {
  readonly xid: string
  readonly lsn: string
  readonly time: string
}

interface ResultDocument extends PlanDocument {
  readonly reached: {
    readonly lsn: string
    readonly commitTime: string | null
    readonly timeline: number
    readonly promoted: boolean
  } | null
  readonly comparedBytes: number
  readonly writtenBytes: number
  readonly filesMs: number
  readonly recoveryMs: number
}

/** What `restore --dry-run` prints. */
export function planAnswer(plan: RestorePlan, preview: RestorePreview): Answer {
  const document = { ...planDocument(plan, true), ...previewDocument(preview) }
  return { document, text: () => planText(plan, preview) }
}

function previewDocument({ edge, estimatedMs }: RestorePreview): Pick<PlanDocument, 'edge' | 'estimatedMs'> {
  const listed = edge && {
    lastKept: edge.lastKept === undefined ? null : listCommit(edge.lastKept),
    firstLost: edge.firstLost === undefined ? null : listCommit(edge.firstLost),
    isCertain: edge.holes.length === 0,
  }
  return { edge: listed ?? null, estimatedMs: estimatedMs ?? null }
}

const listCommit = ({ xid, lsn, time }: Commit): CommitListing => ({
  xid: String(xid),
  lsn: formatLsn(lsn),
  time: formatInstant(time),
})

function previewLines({ edge, estimatedMs }: RestorePreview): readonly (readonly [string, string])[] {
  const time =
    estimatedMs === undefined
      ? 'unknown until there was a drill'
      : `about ${formatDuration(estimatedMs)}, as the last drill went`
  if (edge === undefined) return [['time', time]]
  const doubt = edge.holes.length === 0 ? '' : ', but some WAL could not be read'
  return [
    [
      'keeps up to',
      edge.lastKept === undefined
        ? `no commit behind the beginning of the backup${doubt}`
        : `${commitText(edge.lastKept)}${doubt}`,
    ],
    [
      'loses from',
      edge.firstLost === undefined ? `nothing that is archived${doubt}` : commitText(edge.firstLost),
    ],
    ['time', time],
  ]
}

const commitText = ({ xid, lsn, time }: Commit): string =>
  `${formatInstant(time)}: transaction ${xid}, LSN ${formatLsn(lsn)}`

/** What `restore` prints when it is done. */
export function resultAnswer(result: RestoreResult): Answer {
  return { document: resultDocument(result), text: () => resultText(result) }
}

function planDocument(plan: RestorePlan, isDryRun: boolean): PlanDocument {
  const { request, backup, wal } = plan
  return {
    version: 1,
    dryRun: isDryRun,
    targetDirectory: request.targetDirectory,
    backup: backup.label,
    target: describeRecoveryTarget(request.target),
    stop: stopSettings(plan.stop),
    timeline: plan.timeline,
    wal: {
      first: wal.first,
      last: wal.last,
      segmentCount: wal.count,
      endLsn: formatLsn(wal.endLsn),
      lastCommitAt: wal.lastCommitAt === undefined ? null : formatInstant(wal.lastCommitAt),
    },
    places: plan.places.map(({ root, name, path, state }) => ({
      tablespace: root === 0 ? null : name,
      directory: path,
      state,
    })),
    delta: plan.isDelta,
    filesOnly: request.isFilesOnly,
    continuesLineage: request.continuesLineage,
    restoredBytes: backup.restoredBytes,
    warnings: plan.warnings,
  }
}

function resultDocument(result: RestoreResult): ResultDocument {
  const { reached } = result
  return {
    ...planDocument(result.plan, false),
    reached:
      reached === undefined
        ? null
        : {
            lsn: formatLsn(reached.lsn),
            commitTime:
              reached.commitTime === undefined ? null : formatInstant(parseTargetTime(reached.commitTime)),
            timeline: reached.timeline,
            promoted: reached.isPromoted,
          },
    comparedBytes: result.comparedBytes,
    writtenBytes: result.writtenBytes,
    filesMs: Math.round(result.filesMs),
    recoveryMs: Math.round(result.recoveryMs),
  }
}

function planText(plan: RestorePlan, preview: RestorePreview): string {
  const { backup, request, wal } = plan
  const lines = [
    [
      'backup',
      `${backup.label}, ended ${formatInstant(backup.stoppedAt)} at LSN ${formatLsn(backup.stopLsn)}`,
    ],
    ['target', `${describeRecoveryTarget(request.target)}, timeline ${plan.timeline}`],
    [
      'stop',
      Object.entries(stopSettings(plan.stop))
        .map(([name, value]) => `${name} = ${value}`)
        .join(', '),
    ],
    ['wal', `${wal.first} to ${wal.last} (${wal.count} segments), up to LSN ${formatLsn(wal.endLsn)}`],
    ...previewLines(preview),
    ...plan.places.map(({ root, name, path, state }) => [
      root === 0 ? 'directory' : `tablespace ${name}`,
      `${path} (${describeState(state)})`,
    ]),
    ['size', formatByteSize(backup.restoredBytes)],
    [
      'recovery',
      request.isFilesOnly ? 'left to you' : 'on a private socket, checked, then the server is stopped',
    ],
    ['archiving', request.continuesLineage ? 'as it is configured' : 'off, until you turn it on'],
    ...plan.warnings.map((warning) => ['warning', warning]),
  ]
  const width = Math.max(...lines.map(([title = '']) => title.length))
  return lines.map(([title = '', value = '']) => `${title.padEnd(width)}  ${oneLine(value)}\n`).join('')
}

function resultText(result: RestoreResult): string {
  const { plan, reached } = result
  const directory = oneLine(plan.request.targetDirectory)
  const written = `${formatByteSize(result.writtenBytes)} written`
  const compared = plan.isDelta ? `, ${formatByteSize(result.comparedBytes)} compared` : ''
  const files = `restored backup ${plan.backup.label} into ${directory}: ${written}${compared} in ${formatDuration(result.filesMs)}\n`
  if (reached === undefined) return `${files}${filesOnlyText(plan)}`
  const commit =
    reached.commitTime === undefined
      ? ''
      : `, last commit ${formatInstant(parseTargetTime(reached.commitTime))}`
  const replayed = `reached LSN ${formatLsn(reached.lsn)}${commit}, timeline ${reached.timeline}, in ${formatDuration(result.recoveryMs)}\n`
  const state = reached.isPromoted
    ? `The cluster was promoted and stopped: start it as usual, for example "pg_ctl start -D ${directory}".\n`
    : 'The cluster was stopped in recovery and not promoted: it stops at the target again when you start it.\n'
  return `${files}${replayed}${state}${lineageText(plan)}`
}

function filesOnlyText({ request }: RestorePlan): string {
  return [
    `Recovery is left to you: start the server, for example "pg_ctl start -D ${oneLine(request.targetDirectory)}".`,
    `It recovers ${describeRecoveryTarget(request.target)}. Never remove recovery.signal or backup_label by hand.`,
    '',
  ].join('\n')
}

function lineageText({ request }: RestorePlan): string {
  if (request.continuesLineage) return ''
  return 'It archives nothing. When it replaces the original: ALTER SYSTEM SET archive_mode = on, and restart.\n'
}

function describeState(state: RestorePlan['places'][number]['state']): string {
  switch (state) {
    case 'vacant':
      return 'empty'
    case 'interrupted':
      return 'an unfinished restore, will be completed'
    case 'recovered':
      return 'an unfinished restore that was promoted, only its clean-up is left'
    case 'occupied':
      return 'a copy of the cluster, will be overwritten'
  }
}

const oneLine = (text: string): string => printable(text).replaceAll('\n', String.raw`\u{a}`)
