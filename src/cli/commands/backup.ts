import { InvalidArgumentError, Option } from 'commander'
import type { Command } from 'commander'
import type { BackupDocument, BackupPlanDocument } from '../../api/backup-document.ts'
import type { BackupPlan, TakenBackup, TakeBackupRequest } from '../../app/take-backup.ts'
import { formatByteSize, parseByteSize } from '../../domain/byte-size.ts'
import { formatDuration } from '../../domain/duration.ts'
import { formatLsn } from '../../domain/lsn.ts'
import { isOperationError, OperationError, operationErrors } from '../../domain/operation-error.ts'
import { loadAsOwner } from '../become-owner.ts'
import type { CommandEnvironment } from '../command-environment.ts'
import { readJobCount } from '../read-job-count.ts'
import { listCopies, tellFailedCopies } from '../failed-copies.ts'
import { damageLines } from '../output/damage-lines.ts'
import { printable } from '../output/text.ts'
import type { Style } from '../output/text.ts'

interface BackupOptions {
  readonly type?: 'full' | 'incr'
  readonly maxRate?: number
  readonly workers?: number
  readonly audit?: true
  readonly dryRun?: true
}

/** `backup`: takes one, or with `--dry-run` says what it would take. */
export function registerBackup(program: Command, environment: CommandEnvironment): void {
  program
    .command('backup')
    .description('take a backup')
    .addOption(
      new Option(
        '--type <type>',
        'what to take; without it an incremental one, when there is a backup to go on from',
      ).choices(['full', 'incr']),
    )
    .option('--audit', 'read everything, and compare it with what the WAL says has changed')
    .option('--max-rate <size>', 'read at most this much in a second, such as 50MB', readSize)
    .option('--workers <count>', 'how many workers compress and encrypt', readJobCount)
    .option('--dry-run', 'check everything and print the plan; take nothing')
    .action((options: BackupOptions) => run(options, environment))
}

async function run(options: BackupOptions, environment: CommandEnvironment): Promise<void> {
  if (options.audit === true && options.type === 'full') throw nothingToAudit()
  const { configuration } = await loadAsOwner(environment)
  const { takeBackup, planBackup } = await import('../../app/take-backup.ts')
  const { cluster: clusterName, repo: repoName } = environment.options
  const { workers, maxRate, dryRun, type } = options
  const { variables } = environment.surroundings
  const request: TakeBackupRequest = {
    configuration,
    clusterName,
    repoName,
    variables,
    workers,
    maxRate,
    type,
    isAudit: options.audit === true,
  }
  if (dryRun === true) {
    const plan = await planBackup(request, environment.context)
    environment.answer({ document: planDocument(plan), text: () => planText(plan) })
    return
  }
  const { listBackup, listDamagedFile } = await import('../../app/list-backup.ts')
  const taken = await takeBackup(request, environment.context)
  const { cluster, repo, location, durationMs } = taken
  const document: BackupDocument = {
    version: 1,
    cluster,
    repo,
    location,
    backup: listBackup(taken.backup),
    durationMs: Math.round(durationMs),
    damagedFiles: taken.damagedFiles.map(listDamagedFile),
    auditFailure: taken.auditFailure?.message ?? null,
    copies: listCopies(taken.copies),
  }
  environment.answer({ document, text: (style) => takenText(taken, style) })
  tellFailedCopies(taken.backup.label, taken.copies, environment)
  if (taken.auditFailure !== undefined) environment.exitWith(operationErrors['audit-failed'].exitCode)
  if (taken.backup.damagedPageCount > 0) environment.exitWith(operationErrors['pages-damaged'].exitCode)
}

function nothingToAudit(): OperationError {
  return new OperationError(
    'usage',
    'choosing the type of a backup: found "--audit" with "--type full", which reads everything anyway',
    { hint: 'An audit compares an incremental backup with what the WAL says: leave "--type" out.' },
  )
}

function planDocument({ parent, freeBytes, ...plan }: BackupPlan): BackupPlanDocument {
  const type = parent === undefined ? 'full' : 'incr'
  return { version: 1, type, parent: parent ?? null, ...plan, freeBytes: freeBytes ?? null }
}

function planText(plan: BackupPlan): string {
  const tablespaces = plan.tablespaceCount === 0 ? '' : ` and ${plan.tablespaceCount} tablespaces`
  const sort =
    plan.parent === undefined ? 'a full' : plan.isAudit ? 'an audited incremental' : 'an incremental'
  const free = plan.freeBytes === undefined ? '' : `, ${formatByteSize(plan.freeBytes)} free`
  const lines = [
    `would take ${sort} backup of cluster "${plan.cluster}" (PostgreSQL ${plan.serverVersion})`,
    ...(plan.parent === undefined ? [] : [`after:  backup ${plan.parent}`]),
    `from:   ${printable(plan.dataDirectory)}${tablespaces}: ${formatByteSize(plan.totalBytes)} in ${plan.fileCount} files`,
    `to:     repo "${plan.repo}", ${plan.location}${free}`,
  ]
  return toText(lines)
}

function takenText(
  { backup, durationMs, repo, location, damagedFiles, copies }: TakenBackup,
  style: Style,
): string {
  const ratio = backup.storedBytes > 0 ? (backup.restoredBytes / backup.storedBytes).toFixed(1) : '-'
  const rate = formatByteSize(Math.round((backup.restoredBytes / Math.max(durationMs, 1)) * 1000))
  const isClean = backup.damagedPageCount === 0
  const audited = backup.isAudited === true ? ', and was audited' : ''
  const lines = [
    isClean
      ? style('green', `backup ${backup.label} is complete`)
      : style('red', `backup ${backup.label} is complete with page errors`),
    `cluster size: ${formatByteSize(backup.restoredBytes)} in ${backup.fileCount} files`,
    backup.parent === undefined
      ? `stored:       ${formatByteSize(backup.storedBytes)} (${ratio} to 1) in repo "${repo}", ${location}`
      : `stored:       ${formatByteSize(backup.storedBytes)} in repo "${repo}", ${location}`,
    ...copies
      .filter(({ failure }) => failure === undefined)
      .map(({ repo: other, location: place }) => `copied to:    repo "${other}", ${place ?? ''}`),
    ...(backup.parent === undefined ? [] : [`goes on from: backup ${backup.parent}${audited}`]),
    `took:         ${formatDuration(durationMs)} (${rate}/s)`,
    `WAL:          ${formatLsn(backup.startLsn)} to ${formatLsn(backup.stopLsn)} on timeline ${backup.timeline}, archived`,
    ...(isClean ? [] : damageLines(backup.damagedPageCount, damagedFiles)),
  ]
  return toText(lines)
}

function toText(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join('')
}

function readSize(text: string): number {
  try {
    const bytes = parseByteSize(text)
    if (bytes > 0) return bytes
  } catch (error) {
    if (!isOperationError(error, 'usage')) throw error
  }
  throw new InvalidArgumentError('Expected a size such as 50MB.')
}
