import type { Command } from 'commander'
import type { DeleteDocument } from '../../api/retention-document.ts'
import type { PlannedDelete } from '../../app/expire-one.ts'
import { labelKind, parseBackupLabel } from '../../domain/backup-label.ts'
import { formatByteSize } from '../../domain/byte-size.ts'
import { formatInstant } from '../../domain/target-time.ts'
import type { LostMoments } from '../../retention/plan-delete.ts'
import { loadAsOwner } from '../become-owner.ts'
import type { CommandEnvironment } from '../command-environment.ts'
import { confirmName } from '../confirm-name.ts'
import { printable } from '../output/text.ts'

interface DeleteOptions {
  readonly confirm?: string
  readonly last?: true
  readonly dryRun?: true
}

/** `delete`: forgets one backup or dump by name. */
export function registerDelete(program: Command, environment: CommandEnvironment): void {
  program
    .command('delete')
    .description('forget one backup or dump')
    .argument('<label>', 'the backup or dump')
    .option('--confirm <name>', 'the name of the cluster')
    .option('--last', 'also when no other usable backup is left')
    .option('--dry-run', 'print what would go and what that costs; change nothing')
    .action((label: string, options: DeleteOptions) => run(label, options, environment))
}

async function run(
  label: string,
  { confirm, last, dryRun }: DeleteOptions,
  environment: CommandEnvironment,
): Promise<void> {
  const parsed = parseBackupLabel(label)
  if (labelKind(parsed) === 'dump') {
    const { runDeleteDump } = await import('../delete-dump.ts')
    await runDeleteDump({ label: parsed, confirm, isDryRun: dryRun === true }, environment)
    return
  }
  const { configuration } = await loadAsOwner(environment)
  const [{ deleteBackup }, { listBackup }] = await Promise.all([
    import('../../app/expire-one.ts'),
    import('../../app/list-backup.ts'),
  ])
  const { cluster: clusterName, repo: repoName } = environment.options
  const isDryRun = dryRun === true
  const planned = await deleteBackup(
    {
      configuration,
      clusterName,
      repoName,
      label: parsed,
      acceptsLast: last === true,
      isDryRun,
      confirm: (plan) => confirmName(confirmationOf(plan, confirm), environment),
    },
    environment.context,
  )
  const { cluster, repo, location, plan } = planned
  const document: DeleteDocument = {
    version: 1,
    cluster,
    repo,
    location,
    dryRun: isDryRun,
    backup: listBackup(plan.backup),
    lost: plan.lost.map(({ timeline, from, to }) => ({
      timeline,
      from: formatInstant(from),
      to: to === undefined ? null : formatInstant(to),
    })),
    usableBackupsLeft: plan.usableLeft,
  }
  environment.answer({ document, text: () => planText(planned, isDryRun) })
}

function confirmationOf(planned: PlannedDelete, given: string | undefined) {
  const { cluster, plan } = planned
  return {
    doing: `deleting backup ${plan.backup.label} of cluster "${cluster}"`,
    warning: planText(planned, true),
    expected: cluster,
    given,
  }
}

function planText({ cluster, repo, location, plan }: PlannedDelete, isPlan: boolean): string {
  const { backup, lost, usableLeft } = plan
  const lines = [
    `${isPlan ? 'would delete' : 'deleted'} backup ${backup.label} of cluster ${cluster} from repo ${repo} (${printable(location)}), up to ${formatByteSize(backup.storedBytes)}`,
    ...lost.map(lostText),
    `usable backups left: ${usableLeft}`,
    ...(isPlan ? [] : ['its data stays for 24 hours; then "holdfast expire" deletes it']),
  ]
  return lines.map((line) => `${line}\n`).join('')
}

function lostText({ timeline, from, to }: LostMoments): string {
  const first = formatInstant(from)
  if (to === from) return `lost with it: the moment ${first}`
  const end = to === undefined ? 'the end of the archive' : `before ${formatInstant(to)}`
  return `lost with it: every moment from ${first} to ${end}, on timeline ${timeline}`
}
