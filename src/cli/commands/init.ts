import assert from 'node:assert/strict'
import { Option, type Command } from 'commander'
import type { InitDocument } from '../../api/init-document.ts'
import { clusterConnection, socketOf } from '../../app/cluster-connection.ts'
import {
  applyInitialization,
  askForDataDirectory,
  planInitialization,
  type InitializationPlan,
  type InitializedCluster,
  type InitializeRequest,
} from '../../app/initialize-cluster.ts'
import { prepareFolders } from '../../app/prepare-folders.ts'
import type { SettingFinding } from '../../app/server-settings.ts'
import { OperationError } from '../../domain/operation-error.ts'
import type { CommandEnvironment } from '../command-environment.ts'
import { formatTable } from '../output/table.ts'
import { printable } from '../output/text.ts'
import type { Style } from '../output/text.ts'
import { foldersOf, readInitOptions, type InitOptions } from '../read-init-options.ts'
import { actAs, becomeClusterOwner } from '../run-as.ts'

/** `init`: configuration, key, repository, and what the server lacks. `--cluster` and `--repo` are global options. */
export function registerInit(program: Command, environment: CommandEnvironment): void {
  program
    .command('init')
    .description(
      'set up the protection of a cluster: --cluster NAME --connection CONNINFO --repo KIND:LOCATION',
    )
    .option(
      '--connection <conninfo>',
      'how the server is reached: a libpq connection string without a password',
    )
    .option('--passfile <file>', 'where the password of the connection is, as .pgpass has it, mode 0600')
    .addOption(
      new Option(
        '--logical-only',
        'for dumps only: of a server that allows no physical backup, such as a managed one',
      ).conflicts(['apply', 'replaceArchiveCommand', 'dataDirectory']),
    )
    .option(
      '--s3 <name=value>',
      'a setting of the bucket, as in the configuration; may be given several times',
      (value: string, earlier: readonly string[]) => [...earlier, value],
      [],
    )
    .option(
      '--gcs <name=value>',
      'a setting of the bucket of Google Cloud Storage, likewise',
      (value: string, earlier: readonly string[]) => [...earlier, value],
      [],
    )
    .option(
      '--azure <name=value>',
      'a setting of the container in Azure, likewise',
      (value: string, earlier: readonly string[]) => [...earlier, value],
      [],
    )
    .option(
      '--sftp <name=value>',
      'a setting of the SFTP server, likewise',
      (value: string, earlier: readonly string[]) => [...earlier, value],
      [],
    )
    .option('--repo-name <name>', 'what the repo is called in the configuration (default: local)')
    .option('--key-file <file>', 'the key of the repository; made when it is not there')
    .option('--passphrase-file <file>', 'lock the repository with the passphrase in this file instead')
    .option('--no-encryption', 'store everything as it is, readable for whoever gets at the repository')
    .option('--apply', 'change the settings of the server through SQL')
    .option('--replace-archive-command', "with --apply, also replace another tool's archive_command")
    .option('--data-directory <dir>', 'the data directory (default: the server is asked)')
    .option('--bin-directory <dir>', "where PostgreSQL's programs are (default: the usual places)")
    .option(
      '--run-as <user>',
      'whom to become when started as root (default: the owner of the data directory)',
    )
    .action((options: InitOptions) => init(options, environment))
}

async function init(options: InitOptions, environment: CommandEnvironment): Promise<void> {
  const wanted = await readInitOptions(options, environment)
  const request: InitializeRequest = {
    ...wanted,
    variables: environment.surroundings.variables,
    applies: options.apply === true,
    replacesForeign: options.replaceArchiveCommand === true,
  }
  const plan = await planAsOwner(request, environment)
  const made = await applyInitialization(plan, environment.context)
  environment.answer({ document: toDocument(made), text: (style) => toText(made, style) })
}

/**
 * Plans with the rights of the cluster's owner. As root, which may become that owner, it then makes the folders that only
 * root can make, gives them to the owner, and becomes it for good.
 */
async function planAsOwner(
  request: InitializeRequest,
  { context }: CommandEnvironment,
): Promise<InitializationPlan> {
  if (process.geteuid?.() !== 0) return planInitialization(request, context)
  const { runAs, variables } = request
  const socket = socketOf(clusterConnection(request, variables))
  const isKnown = runAs !== undefined || request.dataDirectory !== undefined || socket !== undefined
  if (!isKnown && request.isLogicalOnly) throw nobodyToBecome()
  const dataDirectory = isKnown ? request.dataDirectory : await askForDataDirectory(request, context)
  const plans: InitializationPlan[] = []
  await becomeClusterOwner({ runAs, dataDirectory, socket }, async (user) => {
    const asUser = { ...request, runAs: runAs ?? user.name }
    plans.push(await actAs(user, () => planInitialization(asUser, context)))
    await prepareFolders(foldersOf(request), user)
  })
  return plans[0] ?? assert.fail('root either becomes the owner or is refused')
}

/** Of a server elsewhere nothing here says whose the repository should be. */
function nobodyToBecome(): OperationError {
  return new OperationError(
    'usage',
    'setting up a cluster of dumps only as root: expected --run-as, found none',
    {
      hint: 'Name the user that configuration, key and repository are to belong to with --run-as, or run the command as that user.',
    },
  )
}

function toDocument({ keyFile, restart, dataDirectory, ...made }: InitializedCluster): InitDocument {
  return {
    version: 1,
    ...made,
    dataDirectory: dataDirectory ?? null,
    keyFile: keyFile ?? null,
    restart: restart ?? null,
  }
}

function toText(made: InitializedCluster, style: Style): string {
  const rows = [
    ['cluster', made.cluster, `${madeWords(made.clusterRecord)} (PostgreSQL ${made.serverVersion})`],
    ['configuration', made.configuration.file, madeWords(made.configuration.made)],
    [
      'repository',
      made.repo.location,
      `${madeWords(made.repo.made)}, ${made.repo.isEncrypted ? '' : 'not '}encrypted`,
    ],
    ...(made.keyFile === undefined ? [] : [['key', made.keyFile.path, madeWords(made.keyFile.made)]]),
  ]
  const width = 13
  const summary = rows.map(
    ([what = '', name = '', how = '']) => `${what.padEnd(width)}  ${printable(name)}: ${how}`,
  )
  return [
    ...summary,
    '',
    ...keyLines(made, style),
    ...(made.dataDirectory === undefined ? logicalLines : settingsLines(made, style)),
  ]
    .map((line) => `${line}\n`)
    .join('')
}

const logicalLines = [
  'Everything is set up, for dumps only.',
  'Then run "holdfast check", and "holdfast dump --all" for the first dump.',
]

function settingsLines(made: InitializedCluster, style: Style): readonly string[] {
  const table = formatTable(settingColumns, made.settings.map(settingRow), style).trimEnd()
  return ['settings of the server:', table, '', ...nextLines(made, style)]
}

const madeWords = (how: 'created' | 'exists'): string => (how === 'created' ? 'created' : 'was there already')

function keyLines({ keyFile, repo }: InitializedCluster, style: Style): readonly string[] {
  if (!repo.isEncrypted) return []
  if (keyFile === undefined) {
    return [style('bold', 'Without the passphrase nothing in the repository can ever be read again.'), '']
  }
  return [
    style('bold', `Without ${printable(keyFile.path)} nothing in the repository can ever be read again.`),
    style('bold', 'Keep a copy of this file somewhere else: not on this machine, and not in the repository.'),
    '',
  ]
}

const settingColumns = [{ title: 'setting' }, { title: 'now' }, { title: 'state' }]

/** A command is too long for a table; the SQL below has it whole. */
const longestShown = 40

function settingRow({ name, current, wanted, state, needsRestart }: SettingFinding): readonly string[] {
  const shown = current.length > longestShown ? `${current.slice(0, longestShown)}...` : current
  const value = wanted.length > longestShown ? 'ours' : wanted
  const words = {
    ok: 'ok',
    'restart-due': `${value} after a restart`,
    missing: `must be ${value}${needsRestart ? ', takes a restart' : ''}`,
    advised: `better ${value}: what a quiet server loses at most, in seconds`,
    foreign: "another tool's",
  }
  return [name, name === 'archive_command' && state === 'ok' ? 'ours' : shown, words[state]]
}

function nextLines(made: InitializedCluster, style: Style): readonly string[] {
  const { applied, statements, restart } = made
  return [
    ...(applied.length === 0 ? [] : [`changed: ${applied.join(', ')}`]),
    ...(statements.length === 0 ? [] : statementLines(made)),
    ...(restart === undefined
      ? []
      : [
          style('yellow', 'The server must be restarted. Run this when it suits you:'),
          `  ${printable(restart)}`,
        ]),
    ...(statements.length === 0 && restart === undefined ? ['Everything is set up.'] : []),
    'Then run "holdfast check", and "holdfast backup" for the first backup.',
  ]
}

function statementLines({ statements, settings }: InitializedCluster): readonly string[] {
  const waits = settings.some(({ state, needsRestart }) => state === 'missing' && needsRestart)
  const isForeign = settings.some(({ state }) => state === 'foreign')
  return [
    'Run "holdfast init" again with --apply, or run this as a superuser:',
    ...statements.map((statement) => `  ${printable(statement)};`),
    ...(waits ? ['and restart the server.'] : []),
    ...(isForeign
      ? ['The server archives with another tool now: that archive gets no WAL from then on.']
      : []),
    '',
  ]
}
