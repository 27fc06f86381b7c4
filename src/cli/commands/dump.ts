import { Option, type Command } from 'commander'
import type { DumpDocument } from '../../api/dump-document.ts'
import type { TakeDumpRequest } from '../../app/take-dump.ts'
import { formatByteSize } from '../../domain/byte-size.ts'
import { formatDuration } from '../../domain/duration.ts'
import { formatLsn } from '../../domain/lsn.ts'
import { OperationError } from '../../domain/operation-error.ts'
import { wholeDatabase, type DumpSelection } from '../../logical/dump-selection.ts'
import { pastFact } from '../../repository/dump-contents.ts'
import { lastCommitAt } from '../../sandbox/last-commit.ts'
import { loadAsOwner } from '../become-owner.ts'
import type { CommandEnvironment } from '../command-environment.ts'
import { listCopies, tellFailedCopies } from '../failed-copies.ts'
import { printable } from '../output/text.ts'
import { sandboxParent } from '../sandbox-parent.ts'
import { readJobCount } from '../read-job-count.ts'
import { addSandboxOptions, type SandboxOptions } from '../target-options.ts'

interface DumpOptions extends SandboxOptions {
  readonly at?: true
  readonly database?: readonly string[]
  readonly all?: true
  readonly globals?: boolean
  readonly rolePasswords: boolean
  readonly format?: DumpSelection['format']
  readonly jobs?: number
  readonly table: readonly string[]
  readonly excludeTable: readonly string[]
  readonly excludeTableData: readonly string[]
  readonly schema: readonly string[]
  readonly excludeSchema: readonly string[]
  readonly schemaOnly?: true
  readonly dataOnly?: true
}

/** `dump`: a logical backup, through PostgreSQL's own programs. */
export function registerDump(program: Command, environment: CommandEnvironment): void {
  addSandboxOptions(program.command('dump'))
    .description('take a logical backup of databases, with pg_dump')
    .option('--database <name...>', 'which databases')
    .addOption(new Option('--all', 'every database that lets somebody in').conflicts('database'))
    .option('--globals', 'roles and tablespaces, too; by default with --all')
    .option('--no-globals', 'no roles and tablespaces')
    .option('--no-role-passwords', 'roles without their passwords, for which no superuser is needed')
    .addOption(
      new Option(
        '--format <format>',
        'as pg_dump has it; default: custom, with several jobs directory',
      ).choices(['custom', 'plain', 'directory']),
    )
    .option(
      '--jobs <count>',
      'how many processes dump a database at once, with the directory format',
      readJobCount,
    )
    .option('--table <pattern...>', 'these tables only', [])
    .option('--exclude-table <pattern...>', 'all but these tables', [])
    .option('--exclude-table-data <pattern...>', 'of these tables their definition only', [])
    .option('--schema <pattern...>', 'these schemas only', [])
    .option('--exclude-schema <pattern...>', 'all but these schemas', [])
    .option('--schema-only', 'definitions, and no rows')
    .addOption(new Option('--data-only', 'rows, and no definitions').conflicts('schemaOnly'))
    .option(
      '--at',
      'as of a moment of the past, out of a throw-away server: all databases as of the same one',
    )
    .action((options: DumpOptions) => dump(options, environment))
}

async function dump(options: DumpOptions, environment: CommandEnvironment): Promise<void> {
  const { database, all } = options
  if (database === undefined && all !== true) {
    throw new OperationError('usage', 'dumping: expected what to dump, found nothing', {
      hint: 'Name databases with --database, or take all of them with --all.',
    })
  }
  if (options.at === true) {
    await dumpPast(options, environment)
    return
  }
  refuseTarget(options)
  await take(options, environment)
}

/** The source: what the server was recovered to is kept with the dump. */
async function dumpPast(options: DumpOptions, environment: CommandEnvironment): Promise<void> {
  const { withSandboxPlace } = await import('../with-sandbox-place.ts')
  await withSandboxPlace({ options, isReadOnly: true }, environment, async ({ open }) => {
    await using sandbox = await open()
    const { reached, plan, conninfo } = sandbox
    const facts = {
      backup: plan.backup.label,
      [pastFact]: formatLsn(reached.lsn),
      'last commit': lastCommitAt(reached) ?? 'before the backup',
    }
    await take(options, environment, { conninfo, facts })
  })
}

function refuseTarget(options: DumpOptions): void {
  const targets = Object.keys(options).filter((name) => name === 'backup' || name.startsWith('target'))
  if (targets.length === 0) return
  throw new OperationError('usage', 'dumping: expected --at with a target, found a target alone', {
    hint: 'Add --at to dump a moment of the past; without it the server is dumped as it is now.',
  })
}

async function take(
  options: DumpOptions,
  environment: CommandEnvironment,
  source: Pick<TakeDumpRequest, 'conninfo' | 'facts'> = {},
): Promise<void> {
  const { database, all, jobs = 1 } = options
  const selection = selectionOf(options)
  const { configuration } = await loadAsOwner(environment)
  const spooling =
    selection.format === 'directory'
      ? { parent: await sandboxParent(options.sandboxDirectory, configuration), jobs }
      : undefined
  const { takeDump } = await import('../../app/take-dump.ts')
  const taken = await takeDump(
    {
      configuration,
      clusterName: environment.options.cluster,
      repoName: environment.options.repo,
      variables: environment.surroundings.variables,
      databases: database,
      hasGlobals: options.globals ?? all === true,
      hasPasswords: options.rolePasswords,
      selection,
      spooling,
      ...source,
    },
    environment.context,
  )
  const { durationMs, members, facts, copies, ...place } = taken
  const { listDumpDetails } = await import('../../app/list-dump.ts')
  const details = listDumpDetails({ ...place, head: { members, facts }, drill: undefined })
  const document: DumpDocument = {
    ...details,
    durationMs: Math.round(durationMs),
    copies: listCopies(copies),
  }
  environment.answer({ document, text: () => toText(document) })
  tellFailedCopies(document.dump.label, copies, environment)
}

function selectionOf(options: DumpOptions): DumpSelection {
  const content =
    options.schemaOnly === true ? 'schema-only' : options.dataOnly === true ? 'data-only' : 'all'
  return {
    ...wholeDatabase,
    content,
    format: formatOf(options),
    tables: options.table,
    excludeTables: options.excludeTable,
    excludeTableData: options.excludeTableData,
    schemas: options.schema,
    excludeSchemas: options.excludeSchema,
  }
}

function formatOf({ format, jobs = 1 }: DumpOptions): DumpSelection['format'] {
  if (format === undefined) return jobs > 1 ? 'directory' : 'custom'
  if (jobs === 1 || format === 'directory') return format
  throw new OperationError(
    'usage',
    `dumping with ${jobs} jobs: expected the directory format, found ${format}`,
    {
      hint: 'Leave --format or --jobs out: only the directory format is written by several processes.',
    },
  )
}

function toText({
  dump: { label, rawBytes, storedBytes },
  repo,
  members,
  facts,
  durationMs,
  copies,
}: DumpDocument): string {
  const reached = facts[pastFact]
  const apart = members.length > 1 ? 'each database is as of another moment\n' : ''
  return [
    `dump ${label} is complete in repo ${repo}\n`,
    ...members.map(
      (member) =>
        `  ${printable(member.name)}: ${formatByteSize(member.rawBytes)}, stored in ${formatByteSize(member.storedBytes)}\n`,
    ),
    `${formatByteSize(rawBytes)}, stored in ${formatByteSize(storedBytes)}, took ${formatDuration(durationMs)}\n`,
    reached === undefined ? apart : `all of it as of LSN ${reached}\n`,
    ...copies
      .filter(({ failure }) => failure === null)
      .map(({ repo: other, location }) => `copied to repo ${other}, ${printable(location ?? '')}\n`),
  ].join('')
}
