import { access, constants } from 'node:fs/promises'
import { join } from 'node:path'
import { OperationError } from '../domain/operation-error.ts'
import { formatPostgresVersion } from '../domain/postgres-version.ts'
import { quote } from '../domain/quote.ts'
import type { RunContext } from '../domain/run-context.ts'
import { describeSystemError, isSystemError } from '../platform/durable-file.ts'
import type { PostgresSession } from '../postgres/connection.ts'
import { readControlFile } from '../postgres/control-file.ts'
import { quoteIdentifier } from '../postgres/quote-sql.ts'
import type { ServerFacts } from '../postgres/server-facts.ts'
import { checkItem, type CheckItem } from './check-item.ts'
import { isOurCommand, judgeSettings, readServerSettings, type SettingFinding } from './server-settings.ts'

interface CheckedServer {
  readonly session: PostgresSession
  readonly facts: ServerFacts
  /** The data directory of the configuration; undefined: where the server says. */
  readonly dataDirectory: string | undefined
  /** What the server's archive_command should be; undefined when the configuration is in no file. */
  readonly archiveCommand: string | undefined
}

/** What the server itself says and lets us do. */
export async function checkServer(server: CheckedServer, context: RunContext): Promise<readonly CheckItem[]> {
  const { session, facts } = server
  const settings = judgeSettings(await readServerSettings(session), server.archiveCommand ?? '')
  return [
    {
      name: 'connection',
      state: 'ok',
      message: `PostgreSQL ${formatPostgresVersion(facts.version)}, ${session.description}`,
    },
    facts.isInRecovery
      ? {
          name: 'role',
          state: 'failed',
          message: 'expected a primary, found a server in recovery',
          hint: 'Name the connection of the primary.',
        }
      : { name: 'role', state: 'ok', message: `primary, on timeline ${facts.timeline}` },
    await checkItem('privileges', () => checkPrivileges(session, facts), context),
    ...settings.map((finding) => settingItem(finding, server.archiveCommand)),
    await checkItem('data directory', () => checkDataDirectory(server, context), context),
  ]
}

async function checkPrivileges(
  session: PostgresSession,
  { version }: ServerFacts,
): Promise<Omit<CheckItem, 'name'>> {
  const functions = [
    ...(version.major < 15
      ? ['pg_start_backup(text,boolean,boolean)', 'pg_stop_backup(boolean,boolean)']
      : ['pg_backup_start(text,boolean)', 'pg_backup_stop(boolean)']),
    'pg_switch_wal()',
    'pg_create_restore_point(text)',
  ].map((name) => `pg_catalog.${name}`)
  const rows = await session.query<{ name: string }>(
    `select name from pg_catalog.unnest($1::pg_catalog.text[]) as wanted (name)
      where not pg_catalog.has_function_privilege(name, 'EXECUTE')`,
    [`{${functions.map((name) => `"${name}"`).join(',')}}`],
    { doing: 'reading the privileges of the role' },
  )
  if (rows.length === 0) return { state: 'ok', message: `role "${session.user}" may do what a backup needs` }
  const role = quoteIdentifier(session.user)
  return {
    state: 'failed',
    message: `role "${session.user}" may not run ${rows.map(({ name }) => name).join(', ')}`,
    hint: `As a superuser, run: ${rows.map(({ name }) => `GRANT EXECUTE ON FUNCTION ${name} TO ${role};`).join(' ')}`,
  }
}

const applyHint = 'Run "holdfast init --apply" with the options of the set-up, or set it yourself.'

function settingItem(finding: SettingFinding, archiveCommand: string | undefined): CheckItem {
  const { name, current, wanted, state, needsRestart } = finding
  const item = { name: `setting ${name}` }
  if (name === 'archive_command') return { ...item, ...judgeCommand(finding, archiveCommand) }
  switch (state) {
    case 'ok':
      return { ...item, state: 'ok', message: current }
    case 'restart-due':
      return {
        ...item,
        state: 'failed',
        message: `"${current}" until the server is restarted`,
        hint: 'Restart the server.',
      }
    case 'advised':
      return {
        ...item,
        state: 'warning',
        message: `is 0: on a quiet server what was committed last may stay unarchived for ever`,
        hint: `Set it to ${wanted}: then no more than ${wanted} seconds can be lost.`,
      }
    case 'missing':
    case 'foreign': {
      const restart = needsRestart ? ' It takes a restart.' : ''
      return {
        ...item,
        state: 'failed',
        message: `expected "${wanted}", found "${current}"`,
        hint: `${applyHint}${restart}`,
      }
    }
  }
}

/** Whether archiving works is proven by a segment that comes back; this is about what will surprise somebody later. */
function judgeCommand(
  { state, current }: SettingFinding,
  wanted: string | undefined,
): Omit<CheckItem, 'name'> {
  if (state === 'ok' || (wanted === undefined && isOurCommand(current)))
    return { state: 'ok', message: 'ours' }
  if (isOurCommand(current)) {
    return {
      state: 'warning',
      message: 'is ours, but for another place of the program or the configuration, or another version',
      hint: applyHint,
    }
  }
  if (state === 'foreign') {
    return {
      state: 'warning',
      message: `is not ours: ${quote(current)}`,
      hint: 'If it does not run "holdfast archive-push", nothing is archived here.',
    }
  }
  return { state: 'failed', message: `archives nothing: ${quote(current)}`, hint: applyHint }
}

async function checkDataDirectory(
  { facts, dataDirectory }: CheckedServer,
  context: RunContext,
): Promise<Omit<CheckItem, 'name'>> {
  const folder = dataDirectory ?? facts.dataDirectory
  const { control } = await readControlFile(join(folder, 'global', 'pg_control'), context)
  await requireReadable(join(folder, 'base'))
  if (control.systemIdentifier === facts.systemIdentifier) return { state: 'ok', message: quote(folder) }
  return {
    state: 'failed',
    message: `${quote(folder)}: expected system identifier ${facts.systemIdentifier} as the server says, found ${control.systemIdentifier}`,
    hint: 'Set "data-directory" of the cluster to the data directory of this server.',
  }
}

async function requireReadable(folder: string): Promise<void> {
  try {
    await access(folder, constants.R_OK | constants.X_OK)
  } catch (cause) {
    if (!isSystemError(cause)) throw cause
    throw new OperationError('file-unreadable', `reading "${folder}": ${describeSystemError(cause)}`, {
      cause,
      hint: 'Run holdfast as the user that owns the data directory.',
    })
  }
}
