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
    .description('copy backups, WAL and dumps that another repository of the cluster lacks')
    .option('--from <repo>', 'the repository to copy from (default: the first of the cluster)')
    .option('--to <repo...>', 'repositories to copy to (default: all others of the cluster)')
    .option(
      '--backup <label...>',
      'copy these backups or dumps, also if expired there (default: all that lack)',
    )
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
      const { copied, dumps, forgotten, twins, wal, nameLists } = result
      const sizes = isDryRun ? '' : `, ${formatByteSize(sumOf(copied))} of packs and manifests`
      const lines = [
        `${style('bold', `cluster ${cluster}`)}, from repo ${from.name} to repo ${name} (${printable(location)})`,
        `backups ${verb}: ${namesOf(copied)}${sizes}`,
        `WAL files ${verb}: ${wal.count}${isDryRun ? '' : ` (${formatByteSize(wal.bytes)}), lists of names: ${nameLists}`}`,
        `dumps ${verb}: ${namesOf(dumps)}${dumps.length === 0 ? '' : `, ${formatByteSize(sumOf(dumps))}`}`,
        ...repairedLines(result),
        ...(forgotten.length === 0
          ? []
          : [`not copied, because expired there: ${forgotten.join(', ')} (--backup LABEL brings one back)`]),
        ...(twins.length === 0 ? [] : [`others of the same label there: ${twins.join(', ')}`]),
      ]
      return `${lines.join('\n')}\n`
    })
    .join('\n')
}

type Copied = CopiedCluster['repos'][number]['result']

const namesOf = (copied: Copied['dumps']): string =>
  copied.length === 0 ? 'none' : copied.map(({ label }) => label).join(', ')

const sumOf = (copied: Copied['dumps']): number =>
  copied.reduce((sum, { storedBytes }) => sum + storedBytes, 0)

function repairedLines({ repaired: { packs, walFiles, backups, dumps } }: Copied): readonly string[] {
  if (packs + walFiles + backups.length + dumps.length === 0) return []
  const healed = dumps.length === 0 ? '' : `; dumps ${dumps.join(', ')}`
  return [
    `replaced: ${packs} damaged packs, ${walFiles} of WAL; manifests of ${backups.length} backups${healed}`,
  ]
}
