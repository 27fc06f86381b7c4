import type { Command } from 'commander'
import type { CopiedCluster } from '../../app/copy-repository.ts'
import { formatByteSize } from '../../domain/byte-size.ts'
import { OperationError } from '../../domain/operation-error.ts'
import { loadAsOwner } from '../become-owner.ts'
import type { CommandEnvironment } from '../command-environment.ts'
import { printable, type Style } from '../output/text.ts'

interface CopyOptions {
  readonly from?: string
  readonly to?: readonly string[]
  readonly backup?: readonly string[]
  readonly repair?: true
  readonly dryRun?: true
}

/** `repo copy`: brings other repositories of a cluster up to one of them. */
export function registerRepoCopy(repo: Command, environment: CommandEnvironment): void {
  repo
    .command('copy')
    .description('copy backups and WAL that another repository of the cluster lacks')
    .option('--from <repo>', 'the repository to copy from (default: the first of the cluster)')
    .option('--to <repo...>', 'repositories to copy to (default: all others of the cluster)')
    .option('--backup <label...>', 'copy these, also if they were expired there (default: all that lack)')
    .option('--repair', 'replace what verify found damaged there')
    .option('--dry-run', 'print what would be copied; change nothing')
    .action((options: CopyOptions) => run(options, environment))
}

async function run(options: CopyOptions, environment: CommandEnvironment): Promise<void> {
  const { configuration } = await loadAsOwner(environment)
  const { copyRepository, listCopied } = await import('../../app/copy-repository.ts')
  const isDryRun = options.dryRun === true
  const { cluster: clusterName, repo } = environment.options
  if (repo !== undefined) {
    throw new OperationError('usage', 'choosing repos to copy between: found --repo, which names one', {
      hint: 'Name them with --from and --to.',
    })
  }
  const { from, to = [], backup: labels = [] } = options
  const copied = await copyRepository(
    { configuration, clusterName, from, to, labels, isRepair: options.repair === true, isDryRun },
    environment.context,
  )
  environment.answer({
    document: listCopied(copied, isDryRun),
    text: (style) => copiedText(copied, isDryRun, style),
  })
  throwFirst(copied, environment)
}

/** All are told, the first one ends the command. */
function throwFirst({ repos, failures }: CopiedCluster, { context }: CommandEnvironment): void {
  const all: readonly unknown[] = [
    ...failures.map(({ error }) => error),
    ...repos.flatMap(({ result }) => result.failures.map(({ error }) => error)),
  ]
  const [first, ...others] = all
  for (const error of others) {
    context.report({ kind: 'warning', message: error instanceof Error ? error.message : String(error) })
  }
  if (first !== undefined)
    throw first instanceof Error ? first : new Error('copying failed', { cause: first })
}

function copiedText({ cluster, from, repos }: CopiedCluster, isDryRun: boolean, style: Style): string {
  const verb = isDryRun ? 'would be copied' : 'copied'
  return repos
    .map(({ name, location, result }) => {
      const { copied, forgotten, twins, wal, nameLists, repaired } = result
      const bytes = copied.reduce((sum, { storedBytes }) => sum + storedBytes, 0)
      const sizes = isDryRun ? '' : `, ${formatByteSize(bytes)} of packs and manifests`
      const lines = [
        `${style('bold', `cluster ${cluster}`)}, from repo ${from.name} to repo ${name} (${printable(location)})`,
        `backups ${verb}: ${copied.length === 0 ? 'none' : copied.map(({ label }) => label).join(', ')}${sizes}`,
        `WAL files ${verb}: ${wal.count}${isDryRun ? '' : ` (${formatByteSize(wal.bytes)}), lists of names: ${nameLists}`}`,
        ...(repaired.packs + repaired.walFiles + repaired.backups.length === 0
          ? []
          : [
              `replaced: ${repaired.packs} damaged packs, ${repaired.walFiles} of WAL; manifests of ${repaired.backups.length} backups`,
            ]),
        ...(forgotten.length === 0
          ? []
          : [`not copied, because expired there: ${forgotten.join(', ')} (--backup LABEL brings one back)`]),
        ...(twins.length === 0 ? [] : [`other backups of the same label there: ${twins.join(', ')}`]),
      ]
      return `${lines.join('\n')}\n`
    })
    .join('\n')
}
