import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { Option, type Command } from 'commander'
import type { ArchivePlace } from '../../archive/archive-place.ts'
import { labelKind, parseBackupLabel, type BackupLabel } from '../../domain/backup-label.ts'
import { formatByteSize } from '../../domain/byte-size.ts'
import { formatDuration } from '../../domain/duration.ts'
import { formatLsn } from '../../domain/lsn.ts'
import { OperationError, operationErrors } from '../../domain/operation-error.ts'
import { quote } from '../../domain/quote.ts'
import { parseRecoveryTarget, type RecoveryTarget } from '../../domain/recovery-target.ts'
import type { DrillReport } from '../../drill/drill-report.ts'
import type { DrillTools } from '../../drill/run-drill.ts'
import { loadAsOwner } from '../become-owner.ts'
import type { CommandEnvironment } from '../command-environment.ts'
import { drillCheckText, outcomeMarks } from '../output/drill-check-text.ts'
import { printable, type Style } from '../output/text.ts'
import { sandboxParent } from '../sandbox-parent.ts'
import { addSandboxOptions, type SandboxOptions } from '../target-options.ts'
import { withSandboxPlace } from '../with-sandbox-place.ts'

interface DrillOptions extends SandboxOptions {
  readonly sql?: string
  readonly database?: string
  readonly random?: true
  /** The label of a dump. */
  readonly dump?: string
}

/** `drill`: restores, recovers, reads and checks everything, or loads a dump; reports, and removes it. */
export function registerDrill(program: Command, environment: CommandEnvironment): void {
  addSandboxOptions(program.command('drill'))
    .description('prove that a restore works: do one into a throw-away server, and check all of it')
    .option(
      '--sql <file>',
      'assertions: each statement, ended by ";" at the end of a line, must give one value that is true',
    )
    .option('--random', 'recover to a random moment of all that can be recovered')
    .option('--database <name>', 'where the assertions run; default: postgres, of a dump its only database')
    .addOption(
      new Option('--dump <label>', 'prove a dump instead: load all of it, and count its rows').conflicts([
        'random',
        'backup',
        'targetTime',
        'targetLsn',
        'targetXid',
        'targetName',
        'targetImmediate',
        'targetTimeline',
        'targetExclusive',
      ]),
    )
    .action((options: DrillOptions) =>
      options.dump === undefined
        ? drill(options, environment)
        : drillOfDump({ ...options, dump: options.dump }, environment),
    )
}

async function drillOfDump(
  { dump, sql, database, sandboxDirectory, acceptOlderRepository }: DrillOptions & { readonly dump: string },
  environment: CommandEnvironment,
): Promise<void> {
  const assertions = await readAssertions(sql)
  const label = parseDumpName(dump)
  // Whoever becomes the owner of the cluster is in another directory afterwards.
  const folder = sandboxDirectory === undefined ? undefined : resolve(sandboxDirectory)
  const { configuration } = await loadAsOwner(environment)
  const [{ drillDump }, { listDumpDrill }, { dumpDrillText }] = await Promise.all([
    import('../../app/drill-dump.ts'),
    import('../../app/list-drill.ts'),
    import('../output/dump-drill-text.ts'),
  ])
  const report = await drillDump(
    {
      configuration,
      clusterName: environment.options.cluster,
      repoName: environment.options.repo,
      variables: environment.surroundings.variables,
      label,
      assertions,
      assertionDatabase: database,
      parent: await sandboxParent(folder, configuration),
      acceptsOlder: acceptOlderRepository === true,
    },
    environment.context,
  )
  environment.answer({
    document: { version: 1, ...listDumpDrill(report) },
    text: (style) => dumpDrillText(report, style),
  })
  environment.exitWith(exitCodes[report.outcome])
}

/** A backup has a label, too. */
function parseDumpName(text: string): BackupLabel {
  const label = parseBackupLabel(text)
  if (labelKind(label) === 'dump') return label
  throw new OperationError(
    'usage',
    `reading the arguments: expected the label of a dump, found ${quote(text)}`,
    {
      hint: 'See what there is with "holdfast info"; a backup is proved with "holdfast drill --backup".',
    },
  )
}

/** What was not proven may be proven by the next one, on a better place. */
const exitCodes = {
  passed: 0,
  failed: operationErrors.damaged.exitCode,
  'not-proven': operationErrors['check-failed'].exitCode,
} as const

async function drill(options: DrillOptions, environment: CommandEnvironment): Promise<void> {
  if (options.random === true) refuseOtherTargets(options)
  const assertions = await readAssertions(options.sql)
  const { context } = environment
  const chooseTarget = async (place: ArchivePlace): Promise<RecoveryTarget> => {
    const { chooseRandomMoment } = await import('../../app/random-moment.ts')
    return chooseRandomMoment(place, context)
  }
  const report = await withSandboxPlace(
    { options, isReadOnly: false, isAlone: true, ...(options.random === true && { chooseTarget }) },
    environment,
    async ({ place, target, open }) => {
      const [{ runDrill }, { storeDrillReport }, { explainLosses }] = await Promise.all([
        import('../../drill/run-drill.ts'),
        import('../../drill/drill-report-store.ts'),
        import('../../app/explain-losses.ts'),
      ])
      const { database = 'postgres' } = options
      const isTargetNamed = options.random !== true && target.kind !== 'latest'
      const askWal: DrillTools['askWal'] = (suspects, sandbox) =>
        explainLosses({ suspects, sandbox }, place, context)
      const request = { target, isTargetNamed, assertions, database }
      const made = await runDrill(request, { open, place, askWal }, context)
      await storeDrillReport(made, place, context)
      return made
    },
  )
  const { listDrill } = await import('../../app/list-drill.ts')
  environment.answer({
    document: { version: 1, ...listDrill(report) },
    text: (style) => toText(report, style),
  })
  environment.exitWith(exitCodes[report.outcome])
}

function refuseOtherTargets(options: DrillOptions): void {
  const { kind, timeline } = parseRecoveryTarget(options)
  if (kind === 'latest' && timeline === undefined && options.backup === undefined) return
  throw new OperationError('usage', 'reading the arguments: "--random" was given with a backup or a target', {
    hint: 'Give one of them.',
  })
}

async function readAssertions(file: string | undefined): Promise<readonly string[]> {
  if (file === undefined) return []
  const { splitAssertions } = await import('../../drill/check-assertions.ts')
  try {
    return splitAssertions(await readFile(file, 'utf8'))
  } catch (cause) {
    throw new OperationError(
      'file-unreadable',
      `reading the assertions in ${quote(file)}: ${String(cause)}`,
      { cause },
    )
  }
}

function toText(report: DrillReport, style: Style): string {
  const { outcome, target, checks, reached, filesMs, recoveryMs, checkMs, writtenBytes } = report
  const [colour, mark] = outcomeMarks[outcome]
  return [
    ...checks.map((check) => drillCheckText(check, style)),
    reached === undefined
      ? ''
      : `reached LSN ${formatLsn(reached.lsn)}; last commit ${reached.lastCommitAt ?? 'before the backup'}, last archived ${reached.archivedCommitAt ?? 'not known'}\n`,
    `took ${formatDuration(filesMs + recoveryMs + checkMs)}: ${formatDuration(filesMs)} for files (${formatByteSize(writtenBytes)}), ${formatDuration(recoveryMs)} to recover, ${formatDuration(checkMs)} to check\n`,
    `${style(colour, mark.trim())}: ${printable(target)}\n`,
  ].join('')
}
