import { readFile } from 'node:fs/promises'
import type { Command } from 'commander'
import type { ArchivePlace } from '../../archive/archive-place.ts'
import { formatByteSize } from '../../domain/byte-size.ts'
import { formatDuration } from '../../domain/duration.ts'
import { formatLsn } from '../../domain/lsn.ts'
import { OperationError, operationErrors } from '../../domain/operation-error.ts'
import { quote } from '../../domain/quote.ts'
import { parseRecoveryTarget, type RecoveryTarget } from '../../domain/recovery-target.ts'
import type { DrillCheck, DrillReport } from '../../drill/drill-report.ts'
import type { DrillTools } from '../../drill/run-drill.ts'
import type { CommandEnvironment } from '../command-environment.ts'
import { printable, type Style } from '../output/text.ts'
import { addSandboxOptions, type SandboxOptions } from '../target-options.ts'
import { withSandboxPlace } from '../with-sandbox-place.ts'

interface DrillOptions extends SandboxOptions {
  readonly sql?: string
  readonly database: string
  readonly random?: true
}

/** `drill`: restores, recovers, reads and checks everything, reports, and removes it. */
export function registerDrill(program: Command, environment: CommandEnvironment): void {
  addSandboxOptions(program.command('drill'))
    .description('prove that a restore works: do one into a throw-away server, and check all of it')
    .option(
      '--sql <file>',
      'assertions: each statement, ended by ";" at the end of a line, must give one value that is true',
    )
    .option('--random', 'recover to a random moment of all that can be recovered')
    .option('--database <name>', 'where the assertions run', 'postgres')
    .action((options: DrillOptions) => drill(options, environment))
}

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
      const { database } = options
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

/** What was not proven may be proven by the next one, on a better place. */
const exitCodes = {
  passed: 0,
  failed: operationErrors.damaged.exitCode,
  'not-proven': operationErrors['check-failed'].exitCode,
} as const

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

const marks = {
  passed: ['green', 'passed    '],
  failed: ['red', 'FAILED    '],
  'not-proven': ['yellow', 'not proven'],
} as const

function checkText({ name, state, message, findings }: DrillCheck, style: Style): string {
  const [colour, mark] = marks[state]
  const details = findings.map((finding) => `             ${printable(finding)}\n`).join('')
  return `${style(colour, mark)} ${name.padEnd(10)} ${printable(message)}\n${details}`
}

function toText(report: DrillReport, style: Style): string {
  const { outcome, target, checks, reached, filesMs, recoveryMs, checkMs, writtenBytes } = report
  const [colour, mark] = marks[outcome]
  return [
    ...checks.map((check) => checkText(check, style)),
    reached === undefined
      ? ''
      : `reached LSN ${formatLsn(reached.lsn)}; last commit ${reached.lastCommitAt ?? 'before the backup'}, last archived ${reached.archivedCommitAt ?? 'not known'}\n`,
    `took ${formatDuration(filesMs + recoveryMs + checkMs)}: ${formatDuration(filesMs)} for files (${formatByteSize(writtenBytes)}), ${formatDuration(recoveryMs)} to recover, ${formatDuration(checkMs)} to check\n`,
    `${style(colour, mark.trim())}: ${printable(target)}\n`,
  ].join('')
}
