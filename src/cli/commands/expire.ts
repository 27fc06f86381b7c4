import type { Command } from 'commander'
import type { ExpiredCluster, ExpiredRepo } from '../../app/expire-cluster.ts'
import type { BackupLabel } from '../../domain/backup-label.ts'
import { formatByteSize } from '../../domain/byte-size.ts'
import { formatInstant } from '../../domain/target-time.ts'
import type { SweepResult } from '../../retention/sweep.ts'
import { loadAsOwner } from '../become-owner.ts'
import type { CommandEnvironment } from '../command-environment.ts'
import { formatTable } from '../output/table.ts'
import { printable } from '../output/text.ts'
import type { Style } from '../output/text.ts'

interface ExpireOptions {
  readonly dryRun?: true
  readonly confirm?: string
  readonly acceptClock?: true
}

/** `expire`: forgets what the keep rules do not keep, and deletes what nothing needs any more. */
export function registerExpire(program: Command, environment: CommandEnvironment): void {
  program
    .command('expire')
    .description('forget backups, dumps and WAL by the keep rules')
    .option('--dry-run', 'print what would be kept and removed, and why; change nothing')
    .option(
      '--confirm <name>',
      'the name of the cluster, when half of the backups or of the dumps, or more, would go',
    )
    .option('--accept-clock', 'go on although the clock, or that of a backup, seems to be wrong')
    .action((options: ExpireOptions) => run(options, environment))
}

async function run(options: ExpireOptions, environment: CommandEnvironment): Promise<void> {
  const { configuration } = await loadAsOwner(environment)
  const [{ expireCluster }, { listExpired, messageOf, sumSwept }, { describeKept }, { expiredDumpsText }] =
    await Promise.all([
      import('../../app/expire-cluster.ts'),
      import('../../app/expire-listing.ts'),
      import('../../retention/kept-bytes.ts'),
      import('../output/expired-dumps-text.ts'),
    ])
  const { cluster: clusterName, repo: repoName } = environment.options
  const isDryRun = options.dryRun === true
  const request = {
    configuration,
    clusterName,
    repoName,
    isDryRun,
    confirmed: options.confirm,
    acceptsClock: options.acceptClock === true,
  }
  const expired = await expireCluster(request, environment.context)
  environment.answer({
    document: listExpired(expired, isDryRun),
    text: (style) => {
      const look = { style, sumSwept, describeKept, expiredDumpsText }
      return expired.repos.map((repo) => repoText(expired, repo, look)).join('\n')
    },
  })
  const [failure, ...others] = failuresOf(expired)
  for (const error of others) environment.context.report({ kind: 'warning', message: messageOf(error) })
  if (failure !== undefined) throw failure instanceof Error ? failure : new Error(messageOf(failure))
}

/** Of repositories that failed: the first one is how the command ends. */
function failuresOf({ repos, failures }: ExpiredCluster): readonly unknown[] {
  return [
    ...repos.map(({ failure }) => failure).filter((failure) => failure !== undefined),
    ...failures.map(({ error }) => error),
  ]
}

interface Look {
  readonly style: Style
  readonly expiredDumpsText: (
    dumps: ExpiredRepo['dumps'],
    look: { readonly cluster: string; readonly style: Style },
  ) => string
  readonly describeKept: (kept: SweepResult['kept'][number]) => string
  readonly sumSwept: (kinds: SweepResult['deleted']) => { readonly count: number; readonly bytes: number }
}

function repoText({ name }: ExpiredCluster, repo: ExpiredRepo, look: Look): string {
  const { plan, applied, failure } = repo
  // Refused plans are swept for, dry runs are not.
  const isSwept = applied !== undefined || failure !== undefined
  return [
    `${look.style('bold', `cluster ${name}`)}, ${summaryOf(repo)}\n`,
    plan.hasRules ? '' : 'no keep rule is set: set some below "keep:" in the configuration\n',
    repo.backups.length === 0 ? '' : formatTable(columns, rowsOf(repo), look.style),
    plan.clockDoubt === undefined
      ? ''
      : look.style('yellow', `a clock seems to be wrong: ${plan.clockDoubt}\n`),
    plan.isDrastic && applied === undefined
      ? look.style('yellow', `half or more would go or lose the WAL behind them: needs "--confirm ${name}"\n`)
      : '',
    look.expiredDumpsText(repo.dumps, { cluster: name, style: look.style }),
    repo.swept === undefined ? '' : sweptText(repo.swept, isSwept, look),
  ].join('')
}

function summaryOf({ name, location, plan, applied }: ExpiredRepo): string {
  const going = (applied?.removed ?? plan.remove).length
  const verb = applied === undefined ? 'would be removed' : 'removed'
  const removed = going === 0 ? 'nothing expires' : `${going} ${verb}`
  return `repo ${name} (${printable(location)}): ${plan.keep.length + plan.remove.length - going} kept, ${removed}`
}

const columns = [{ title: 'label' }, { title: 'ended' }, { title: 'decision' }, { title: 'why' }] as const

function rowsOf({ backups, plan, applied }: ExpiredRepo): readonly (readonly string[])[] {
  const decisions = new Map<BackupLabel, readonly [decision: string, why: string]>([
    ...plan.keep.map(({ label, reasons, walRetention }) => {
      const losesWal = !isSpared(label, plan.ownWal, applied?.ownWal)
      const wal = walRetention === 'own' && losesWal ? ', with its own WAL only' : ''
      return [label, [`keep${wal}`, reasons.join('; ')]] as const
    }),
    ...plan.remove.map(({ label, reason }) => {
      if (isSpared(label, [label], applied?.removed))
        return [label, ['keep', 'the catalogue was changed meanwhile']] as const
      return [label, [applied === undefined ? 'remove' : 'removed', reason]] as const
    }),
  ])
  return backups.map(({ label, stoppedAt }) => [
    label,
    `${formatInstant(stoppedAt).slice(0, 19).replace('T', ' ')} UTC`,
    ...(decisions.get(label) ?? []),
  ])
}

/** Planned and then not done, because somebody changed the catalogue in between. */
const isSpared = (
  label: BackupLabel,
  planned: readonly BackupLabel[],
  done: readonly BackupLabel[] | undefined,
): boolean => planned.includes(label) && done?.includes(label) === false

function sweptText(
  { deleted, kept, waiting, postponedFor }: SweepResult,
  isDone: boolean,
  look: Look,
): string {
  const [gone, left] = [look.sumSwept(deleted), look.sumSwept(waiting)]
  const lines = [
    `${isDone ? 'deleted' : 'a sweep would delete'}: ${formatByteSize(gone.bytes)} in ${gone.count} objects`,
    ...kept.map(look.describeKept),
    ...(left.count === 0
      ? []
      : [
          `not needed any more, deleted after 24 hours: ${formatByteSize(left.bytes)} in ${left.count} objects`,
        ]),
    ...(postponedFor === undefined
      ? []
      : [`nothing is deleted now, because of this: ${printable(postponedFor)}`]),
  ]
  return lines.map((line) => `${line}\n`).join('')
}
