import { resolve } from 'node:path'
import { Option, type Command } from 'commander'
import type { LoadDocument } from '../../api/dump-document.ts'
import type { LoadTarget } from '../../app/load-listed-dump.ts'
import { parseBackupLabel } from '../../domain/backup-label.ts'
import { formatByteSize } from '../../domain/byte-size.ts'
import { formatDuration } from '../../domain/duration.ts'
import { OperationError } from '../../domain/operation-error.ts'
import { quote } from '../../domain/quote.ts'
import type { WantedMember } from '../../logical/choose-member.ts'
import { wholeDump, type LoadSelection } from '../../logical/load-selection.ts'
import { loadAsOwner } from '../become-owner.ts'
import type { CommandEnvironment } from '../command-environment.ts'
import { confirmName } from '../confirm-name.ts'
import { printable } from '../output/text.ts'
import { readJobCount } from '../read-job-count.ts'
import { sandboxParent } from '../sandbox-parent.ts'

interface LoadOptions {
  readonly database?: string
  readonly globals?: true
  readonly into?: string
  readonly as?: string
  readonly create?: true
  readonly toFile?: string
  readonly table: readonly string[]
  readonly schema: readonly string[]
  readonly schemaOnly?: true
  readonly dataOnly?: true
  readonly section?: NonNullable<LoadSelection['section']>
  readonly owner: boolean
  readonly privileges: boolean
  readonly clean?: true
  readonly confirm?: string
  readonly acceptOlderRepository?: true
  readonly jobs?: number
  readonly sandboxDirectory?: string
}

/** `load`: a dump back into a server, or out as the file that pg_dump wrote. */
export function registerLoad(program: Command, environment: CommandEnvironment): void {
  program
    .command('load')
    .description('load a logical backup into a database, or write it to a file')
    .argument('<label>', 'which one, as "info" lists it')
    .option('--database <name>', 'which database of it; may be left out when there is one')
    .addOption(
      new Option('--globals', 'its roles and tablespaces, with --to-file').conflicts([
        'database',
        'into',
        'create',
      ]),
    )
    .option('--into <conninfo>', 'the server to load into; default: the cluster')
    .option('--as <name>', 'the database to load into; default: one of the same name')
    .option('--create', 'make that database first')
    .addOption(
      new Option('--to-file <file>', 'write it as pg_dump wrote it, and touch no server').conflicts([
        'into',
        'as',
        'create',
        'clean',
      ]),
    )
    .option('--table <name...>', 'these tables only; of the custom format', [])
    .option('--schema <name...>', 'these schemas only; of the custom format', [])
    .option('--schema-only', 'definitions, and no rows; of the custom format')
    .addOption(
      new Option('--data-only', 'rows, and no definitions; of the custom format').conflicts('schemaOnly'),
    )
    .addOption(
      new Option('--section <section>', 'a part of it; of the custom format').choices([
        'pre-data',
        'data',
        'post-data',
      ]),
    )
    .option('--no-owner', 'everything belongs to whoever loads it')
    .option('--no-privileges', 'without who may do what')
    .option('--clean', 'drop what is there under the same names first')
    .option('--confirm <name>', 'the name of the database, to drop things in it')
    .option('--jobs <count>', 'how many processes load at once; what fails then is not undone', readJobCount)
    .option(
      '--sandbox-directory <dir>',
      'where files are kept meanwhile, with several jobs or the directory format',
    )
    .option('--accept-older-repository', 'load although the repository went back to an older copy of itself')
    .action((label: string, options: LoadOptions) => load(label, options, environment))
}

async function load(text: string, options: LoadOptions, environment: CommandEnvironment): Promise<void> {
  const { clock } = environment.context
  const began = clock.monotonic()
  const label = parseBackupLabel(text)
  // Whoever becomes the owner of the cluster is in another directory afterwards.
  const target = targetOf(options)
  if (options.globals === true && target.kind !== 'file') throw globalsNeedFile()
  await confirmCleaning(options, environment)
  const { configuration } = await loadAsOwner(environment)
  const { loadListedDump } = await import('../../app/load-listed-dump.ts')
  const { member, database } = await loadListedDump(
    {
      configuration,
      clusterName: environment.options.cluster,
      repoName: environment.options.repo,
      variables: environment.surroundings.variables,
      label,
      target,
      wanted: wantedOf(options),
      selection: selectionOf(options),
      acceptsOlder: options.acceptOlderRepository === true,
      jobs: options.jobs ?? 1,
      spoolParent: () => sandboxParent(options.sandboxDirectory, configuration),
    },
    environment.context,
  )
  const document: LoadDocument = {
    version: 1,
    label,
    member: member.name,
    database: database ?? null,
    file: target.kind === 'file' ? target.path : null,
    rawBytes: member.rawBytes,
    durationMs: Math.round(clock.monotonic() - began),
  }
  environment.answer({ document, text: () => toText(document) })
}

function wantedOf({ globals, database }: LoadOptions): WantedMember {
  if (globals === true) return 'globals'
  return database === undefined ? undefined : { database }
}

function targetOf({ toFile, into, as, create }: LoadOptions): LoadTarget {
  return toFile === undefined
    ? { kind: 'server', into, database: as, isCreated: create === true }
    : { kind: 'file', path: resolve(toFile) }
}

function selectionOf(options: LoadOptions): Omit<LoadSelection, 'format'> {
  const { format: _ofTheDump, ...whole } = wholeDump
  const content =
    options.schemaOnly === true ? 'schema-only' : options.dataOnly === true ? 'data-only' : 'all'
  return {
    ...whole,
    content,
    tables: options.table,
    schemas: options.schema,
    section: options.section,
    hasNoOwner: !options.owner,
    hasNoPrivileges: !options.privileges,
    isClean: options.clean === true,
  }
}

async function confirmCleaning(
  { clean, as, database, confirm }: LoadOptions,
  environment: CommandEnvironment,
): Promise<void> {
  if (clean !== true) return
  const expected = as ?? database
  if (expected === undefined) {
    throw new OperationError('usage', 'loading with --clean: expected the name of the database, found none', {
      hint: 'Name it with --database or --as.',
    })
  }
  const doing = `dropping what is in database ${quote(expected)}`
  const warning = `What is in ${expected} under the names of the dump is dropped.`
  await confirmName({ doing, warning, expected, given: confirm }, environment)
}

function globalsNeedFile(): OperationError {
  return new OperationError('usage', 'loading roles and tablespaces: expected --to-file, found none', {
    hint: 'Look through the file, then run it with psql: roles that are there already are errors in it.',
  })
}

function toText({ label, member, database, file, rawBytes, durationMs }: LoadDocument): string {
  const where = file === null ? `database ${printable(database ?? '')}` : printable(file)
  return `${printable(member)} of dump ${label} is in ${where}: ${formatByteSize(rawBytes)}, took ${formatDuration(durationMs)}\n`
}
