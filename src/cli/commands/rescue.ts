import { resolve } from 'node:path'
import { Option, type Command } from 'commander'
import type { FastListing, RescueDocument } from '../../api/rescue-document.ts'
import type { ClusterConfiguration } from '../../config/select-configured.ts'
import { formatByteSize } from '../../domain/byte-size.ts'
import { formatDuration } from '../../domain/duration.ts'
import { formatLsn } from '../../domain/lsn.ts'
import { OperationError } from '../../domain/operation-error.ts'
import { quote } from '../../domain/quote.ts'
import type { Conninfo } from '../../postgres/conninfo.ts'
import { lastCommitAt } from '../../sandbox/last-commit.ts'
import type { NeededTables } from '../../sandbox/choose-left-out.ts'
import type { Sandbox } from '../../sandbox/open-sandbox.ts'
import type { RescuedTable, RescueRequest } from '../../sandbox/rescue-tables.ts'
import type { CommandEnvironment } from '../command-environment.ts'
import { confirmName } from '../confirm-name.ts'
import { printable } from '../output/text.ts'
import { addSandboxOptions, type SandboxOptions } from '../target-options.ts'
import { withSandboxPlace, type SandboxPlace } from '../with-sandbox-place.ts'

interface RescueOptions extends SandboxOptions {
  readonly table: readonly string[]
  readonly as: string
  readonly into?: string
  readonly replace?: true
  readonly confirm?: string
  readonly toFile?: string
  readonly fast?: true
}

/** `rescue`: tables out of the past, into the live database. */
export function registerRescue(program: Command, environment: CommandEnvironment): void {
  addSandboxOptions(program.command('rescue'))
    .description('bring tables back out of the past, into the live database, under another schema')
    .requiredOption(
      '--table <name...>',
      'NAME, SCHEMA.NAME or DATABASE.SCHEMA.NAME; several are in one database',
    )
    .option('--as <schema>', 'the schema to put them into; made if missing', 'rescued')
    .option('--into <conninfo>', 'the server to put them into; default: the cluster')
    .addOption(
      new Option('--to-file <file>', 'write an SQL script for psql instead, and touch no server').conflicts([
        'into',
        'replace',
      ]),
    )
    .option('--fast', 'restore only what these tables need; everything, when that is not proven to do')
    .option('--replace', 'drop tables of the same names in that schema first')
    .option('--confirm <name>', 'the name of the first table, to replace tables')
    .action((options: RescueOptions) => rescue(options, environment))
}

async function rescue(options: RescueOptions, environment: CommandEnvironment): Promise<void> {
  const { clock } = environment.context
  const began = clock.monotonic()
  const { database, tables } = splitNames(options.table)
  if (options.replace === true) await confirmReplacing(options, tables, environment)
  // Whoever becomes the owner of the cluster is in another directory afterwards.
  const file = options.toFile === undefined ? undefined : resolve(options.toFile)
  const request = { tables, schema: options.as, isReplacing: options.replace === true }
  const document = await withSandboxPlace({ options, isReadOnly: true }, environment, async (place) => {
    const target = await targetOf(options, database, { settings: place.settings, environment })
    if (file !== undefined) await checkFile(file)
    const needed = { database: target.dbname, tables }
    const { sandbox: opened, fast } = await openSandbox(place, options.fast === true ? needed : undefined)
    await using sandbox = opened
    const copying = clock.monotonic()
    const rescued = await copyOut({ ...request, path: file }, { sandbox, target }, environment)
    const [copyMs, totalMs] = [clock.monotonic() - copying, clock.monotonic() - began]
    const { dbname } = target
    return documentOf({ sandbox, fast, rescued, copyMs, totalMs, dbname, file })
  })
  environment.answer({ document, text: () => toText(document) })
}

/** One database and the names in it. */
function splitNames(names: readonly string[]): {
  readonly database: string | undefined
  readonly tables: readonly string[]
} {
  const parts = names.map((name) => /^(?:([^.]+)\.(?=[^.]+\.))?([^.]+(?:\.[^.]+)?)$/.exec(name))
  const databases = new Set(parts.map((part) => part?.[1]))
  if (parts.includes(null) || databases.size > 1) {
    throw new OperationError(
      'usage',
      `reading --table: expected names in one database, found ${names.map((name) => quote(name)).join(', ')}`,
      {
        hint: 'Write NAME, SCHEMA.NAME or DATABASE.SCHEMA.NAME.',
      },
    )
  }
  return { database: [...databases][0], tables: parts.map((part) => part?.[2] ?? '') }
}

async function targetOf(
  { into }: RescueOptions,
  database: string | undefined,
  {
    settings,
    environment,
  }: { readonly settings: ClusterConfiguration; readonly environment: CommandEnvironment },
): Promise<Conninfo> {
  const { clusterConnection } = await import('../../app/cluster-connection.ts')
  const connection = into === undefined ? settings : { connection: into }
  const conninfo = clusterConnection(connection, environment.surroundings.variables)
  return database === undefined ? conninfo : { ...conninfo, dbname: database }
}

async function confirmReplacing(
  { as, confirm }: RescueOptions,
  [first = '']: readonly string[],
  environment: CommandEnvironment,
): Promise<void> {
  const confirmation = {
    doing: `replacing tables in schema ${quote(as)}`,
    warning: `Tables of these names in schema ${as} are dropped.`,
    expected: first,
    given: confirm,
  }
  await confirmName(confirmation, environment)
}

async function checkFile(path: string): Promise<void> {
  const { checkWritable } = await import('../../sandbox/dump-tables.ts')
  await checkWritable(path)
}

/** With everything, or with what is needed. */
async function openSandbox(
  place: SandboxPlace,
  needed: NeededTables | undefined,
): Promise<{ readonly sandbox: Sandbox; readonly fast: FastListing | null }> {
  if (needed === undefined) return { sandbox: await place.open(), fast: null }
  const { sandbox, wholeBecause } = await place.openForTables(needed)
  const { backup, leftOut } = sandbox.plan
  const leftOutBytes = leftOut?.bytes ?? 0
  const fast = {
    used: wholeBecause === undefined,
    reason: wholeBecause ?? null,
    restoredBytes: backup.restoredBytes - leftOutBytes,
    leftOutBytes,
  }
  return { sandbox, fast }
}

async function copyOut(
  { path, ...request }: RescueRequest & { readonly path: string | undefined },
  { sandbox, target }: { readonly sandbox: Sandbox; readonly target: Conninfo },
  { context }: CommandEnvironment,
): Promise<readonly RescuedTable[]> {
  const [{ connect }, { rescueTables }, { dumpTables }] = await Promise.all([
    import('../../postgres/connection.ts'),
    import('../../sandbox/rescue-tables.ts'),
    import('../../sandbox/dump-tables.ts'),
  ])
  await using source = await connect({ ...sandbox.conninfo, dbname: target.dbname }, context)
  if (path !== undefined) return await dumpTables({ ...request, path }, source, context)
  await using live = await connect(target, context)
  return await rescueTables(request, { source, target: live }, context)
}

interface Rescued {
  readonly sandbox: Sandbox
  readonly fast: FastListing | null
  readonly rescued: readonly RescuedTable[]
  readonly copyMs: number
  readonly totalMs: number
  readonly dbname: string
  readonly file: string | undefined
}

function documentOf({ sandbox, fast, rescued, copyMs, totalMs, dbname, file }: Rescued): RescueDocument {
  const { plan, reached, restored } = sandbox
  return {
    version: 1,
    database: dbname,
    file: file ?? null,
    backup: plan.backup.label,
    reachedLsn: formatLsn(reached.lsn),
    lastCommitAt: lastCommitAt(reached) ?? null,
    tables: rescued.map(({ from, to, rows, bytes, brokenForeignKeys }) => ({
      from: `${from.schema}.${from.name}`,
      to: `${to.schema}.${to.name}`,
      rows: String(rows),
      bytes,
      brokenForeignKeys,
    })),
    fast,
    filesMs: Math.round(restored.filesMs),
    recoveryMs: Math.round(restored.recoveryMs),
    copyMs: Math.round(copyMs),
    totalMs: Math.round(totalMs),
  }
}

function toText({
  database,
  backup,
  reachedLsn,
  tables,
  totalMs,
  filesMs,
  recoveryMs,
  copyMs,
  file,
  fast,
}: RescueDocument): string {
  const where = file === null ? `back as` : `in ${printable(file)}, as`
  return [
    ...tables.flatMap(({ from, to, rows, bytes, brokenForeignKeys }) => [
      `${printable(from)} is ${where} ${printable(to)} ${file === null ? 'in' : 'of'} ${printable(database)}: ${rows} rows, ${formatByteSize(bytes)}\n`,
      ...brokenForeignKeys.map(
        ({ name, reason }) =>
          `  left out, because it does not hold any more: ${printable(name)}: ${printable(reason)}\n`,
      ),
    ]),
    `as of LSN ${reachedLsn}, from backup ${backup}\n`,
    fast === null ? '' : fastLine(fast),
    `took ${formatDuration(totalMs)}: ${formatDuration(filesMs)} for files, ${formatDuration(recoveryMs)} to recover, ${formatDuration(copyMs)} to copy\n`,
  ].join('')
}

function fastLine({ reason, restoredBytes, leftOutBytes }: FastListing): string {
  if (reason !== null) return `restored everything: ${printable(reason)}\n`
  return `restored ${formatByteSize(restoredBytes)} of ${formatByteSize(restoredBytes + leftOutBytes)}\n`
}
