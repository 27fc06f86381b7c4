import type { ClusterConfiguration } from '../config/select-configured.ts'
import { formatPostgresVersion, type PostgresVersion } from '../domain/postgres-version.ts'
import { quote } from '../domain/quote.ts'
import type { RunContext } from '../domain/run-context.ts'
import {
  findDumpObstacles,
  mayConnect,
  mayReadPasswords,
  type DumpObstacle,
} from '../logical/find-dump-obstacles.ts'
import { listDatabases } from '../logical/list-databases.ts'
import type { Environment } from '../platform/environment.ts'
import { clientEnvironment } from '../postgres/client-environment.ts'
import { findClientPrograms } from '../postgres/client-programs.ts'
import { connect, type PostgresSession } from '../postgres/connection.ts'
import type { Conninfo } from '../postgres/conninfo.ts'
import { quoteIdentifier } from '../postgres/quote-sql.ts'
import { readServerIdentity, type ServerIdentity } from '../postgres/server-facts.ts'
import { checkItem, checkItems, failedItem, type CheckItem } from './check-item.ts'
import { clusterConnection } from './cluster-connection.ts'

interface DumpSource {
  readonly settings: ClusterConfiguration
  readonly variables: Environment
}

interface CheckedSource {
  /** Undefined: the server could not be asked. */
  readonly identity: ServerIdentity | undefined
  readonly items: readonly CheckItem[]
}

/** Looks whether every database of a server can be dumped from here: the server, the programs, and the rights of the role. */
export async function checkDumpSource(source: DumpSource, context: RunContext): Promise<CheckedSource> {
  try {
    const conninfo = clusterConnection(source.settings, source.variables)
    await using session = await connect(conninfo, context)
    const identity = await readServerIdentity(session)
    const { version } = identity
    const items = [
      {
        name: 'connection',
        state: 'ok',
        message: `PostgreSQL ${formatPostgresVersion(version)}, ${session.description}`,
      } as const,
      await checkItem(
        'client programs',
        () => checkPrograms(source, { version, conninfo }, context),
        context,
      ),
      await checkItem('roles', () => checkRoles(session), context),
      ...(await checkItems(
        'databases',
        () => checkDatabases(session, { ...source, conninfo }, context),
        context,
      )),
    ]
    return { identity, items }
  } catch (error) {
    context.signal.throwIfAborted()
    return { identity: undefined, items: [failedItem('connection', error)] }
  }
}

type Verdict = Omit<CheckItem, 'name'>

async function checkPrograms(
  { settings: { binDirectory }, variables }: DumpSource,
  { version, conninfo }: { readonly version: PostgresVersion; readonly conninfo: Conninfo },
  context: RunContext,
): Promise<Verdict> {
  clientEnvironment(conninfo) // throws when they could not log in as we did
  const warnings: { readonly message: string; readonly hint?: string }[] = []
  const programs = await findClientPrograms(
    version,
    { searchPath: variables['PATH'] ?? '', ...(binDirectory !== undefined && { configured: binDirectory }) },
    {
      ...context,
      report: (event) => (event.kind === 'warning' ? warnings.push(event) : context.report(event)),
    },
  )
  const [warning] = warnings
  if (warning !== undefined) return { state: 'warning', message: warning.message, hint: warning.hint }
  return { state: 'ok', message: `${quote(programs.pgDump)} and its kin of version ${programs.version}` }
}

async function checkRoles(session: PostgresSession): Promise<Verdict> {
  if (await mayReadPasswords(session))
    return { state: 'ok', message: `role "${session.user}" may dump roles with their passwords` }
  return {
    state: 'info',
    message: `role "${session.user}" may dump roles without their passwords only`,
    hint: 'Add --no-role-passwords to "holdfast dump --all".',
  }
}

async function checkDatabases(
  session: PostgresSession,
  { settings, conninfo }: DumpSource & { readonly conninfo: Conninfo },
  context: RunContext,
): Promise<readonly CheckItem[]> {
  const items: CheckItem[] = []
  for (const database of await listDatabases(session, settings.excludedDatabases)) {
    const look = async (): Promise<Verdict> =>
      (await mayConnect(session, database))
        ? checkDatabase({ ...conninfo, dbname: database }, context)
        : closedTo(session, database)
    items.push(await checkItem(`database ${quote(database)}`, look, context))
  }
  return items
}

const leaveOut = 'or leave the database out with "excluded-databases" of the cluster'

function closedTo({ user }: PostgresSession, database: string): Verdict {
  const grant = `GRANT CONNECT ON DATABASE ${quoteIdentifier(database)} TO ${quoteIdentifier(user)};`
  return {
    state: 'failed',
    message: `role "${user}" may not connect to it`,
    hint: `As its owner, run: ${grant} ${leaveOut}.`,
  }
}

async function checkDatabase(conninfo: Conninfo, context: RunContext): Promise<Verdict> {
  await using session = await connect(conninfo, context)
  const obstacles = await findDumpObstacles(session)
  if (obstacles.length === 0) return { state: 'ok', message: `role "${session.user}" may read all of it` }
  const findings = obstacles.map((obstacle) => describeObstacle(obstacle, session.user))
  return {
    state: 'failed',
    message: `role "${session.user}" may not read all of it: ${findings.map(({ found }) => found).join('; ')}`,
    hint: `As a superuser, run: ${findings.map(({ statement }) => statement).join(' ')}`,
  }
}

function describeObstacle(
  { kind, count, first }: DumpObstacle,
  user: string,
): { readonly found: string; readonly statement: string } {
  const role = quoteIdentifier(user)
  const named = `${count}, the first is ${first}`
  switch (kind) {
    case 'unreadable':
      return {
        found: `tables and sequences that it may not read: ${named}`,
        statement: `GRANT pg_read_all_data TO ${role};`,
      }
    case 'row-security':
      return {
        found: `tables of which row-level security hides rows: ${named}`,
        statement: `ALTER ROLE ${role} BYPASSRLS;`,
      }
    case 'large-objects':
      return {
        found: `large objects that it may not read: ${named}`,
        statement: `GRANT SELECT ON LARGE OBJECT ${first} TO ${role}; and so for each of them.`,
      }
  }
}
