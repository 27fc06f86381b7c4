import type { Command } from 'commander'
import type { SweptCluster } from '../../app/sweep-repositories.ts'
import { selectCluster } from '../../config/select-configured.ts'
import { formatByteSize } from '../../domain/byte-size.ts'
import { formatDuration, parseDurationMs } from '../../domain/duration.ts'
import { formatInstant, instantFromMs } from '../../domain/target-time.ts'
import { describeKept } from '../../retention/kept-bytes.ts'
import { loadAsOwner } from '../become-owner.ts'
import type { CommandEnvironment } from '../command-environment.ts'
import { confirmName } from '../confirm-name.ts'
import { formatTable } from '../output/table.ts'
import { printable, type Style } from '../output/text.ts'

interface SweepOptions {
  readonly grace?: string
  readonly dryRun?: true
  readonly confirm?: string
}

/** `repo sweep`: deletes what nothing in the catalogue needs any more. */
export function registerRepoSweep(repo: Command, environment: CommandEnvironment): void {
  repo
    .command('sweep')
    .description('delete what no listed backup or dump needs')
    .option('--grace <duration>', 'how long ago a sweep must have found that it is not needed (default 24h)')
    .option('--dry-run', 'print what would be deleted and what waits; change nothing')
    .option('--confirm <name>', 'the name of the cluster, when the grace is shorter than 24h')
    .action((options: SweepOptions) => run(options, environment))
}

async function run(options: SweepOptions, environment: CommandEnvironment): Promise<void> {
  const { configuration } = await loadAsOwner(environment)
  const [{ defaultGraceMs }, { listSwept, sweepRepositories }] = await Promise.all([
    import('../../retention/sweep.ts'),
    import('../../app/sweep-repositories.ts'),
  ])
  const graceMs = options.grace === undefined ? defaultGraceMs : parseDurationMs(options.grace)
  const isDryRun = options.dryRun === true
  const { cluster: clusterName, repo: repoName } = environment.options
  if (graceMs < defaultGraceMs && !isDryRun) {
    const { name: expected } = selectCluster(configuration, clusterName)
    const doing = `sweeping cluster "${expected}" with a grace of ${formatDuration(graceMs)}`
    const warning =
      'A restore that cannot write to the repository, and whoever still reads it, may lose what they need.'
    await confirmName({ doing, warning, expected, given: options.confirm }, environment)
  }
  const swept = await sweepRepositories(
    { configuration, clusterName, repoName, graceMs, isDryRun },
    environment.context,
  )
  environment.answer({
    document: listSwept(swept, isDryRun),
    text: (style) => sweptText(swept, isDryRun, style),
  })
  const [failure, ...others] = swept.failures
  for (const { name, error } of others) {
    const message = `sweeping repo "${name}": ${error instanceof Error ? error.message : String(error)}`
    environment.context.report({ kind: 'warning', message })
  }
  if (failure !== undefined)
    throw failure.error instanceof Error ? failure.error : new Error(String(failure.error))
}

function sweptText({ name, repos }: SweptCluster, isDryRun: boolean, style: Style): string {
  return repos
    .map(({ name: repo, location, result }) => {
      const { deleted, kept, waiting, nextDueAtMs, postponedFor } = result
      const rows = (['pack', 'manifest', 'wal', 'dump'] as const).map((kind) => [
        rowTitles[kind],
        `${deleted[kind].count}`,
        formatByteSize(deleted[kind].bytes),
        `${waiting[kind].count}`,
        formatByteSize(waiting[kind].bytes),
      ])
      return [
        `${style('bold', `cluster ${name}`)}, repo ${repo} (${printable(location)})\n`,
        formatTable(columnsOf(isDryRun), rows, style),
        ...kept.map((one) => `${describeKept(one)}\n`),
        nextDueAtMs === undefined
          ? ''
          : `the next of what waits may be deleted from ${formatInstant(instantFromMs(nextDueAtMs)).slice(0, 19).replace('T', ' ')} UTC on\n`,
        postponedFor === undefined
          ? ''
          : style('yellow', `nothing is deleted now, because of this: ${printable(postponedFor)}\n`),
      ].join('')
    })
    .join('\n')
}

const rowTitles = {
  pack: 'packs',
  manifest: 'manifests',
  wal: 'WAL files',
  dump: 'objects of dumps',
} as const

const columnsOf = (isDryRun: boolean) =>
  [
    { title: '' },
    { title: isDryRun ? 'to delete' : 'deleted', align: 'right' },
    { title: 'bytes', align: 'right' },
    { title: 'waiting', align: 'right' },
    { title: 'bytes', align: 'right' },
  ] as const
