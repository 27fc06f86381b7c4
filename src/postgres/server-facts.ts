import { parseLsn, type Lsn } from '../domain/lsn.ts'
import { isOperationError, OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'
import { parseServerVersionNum, type PostgresVersion } from '../domain/postgres-version.ts'
import { parseSystemIdentifier, type SystemIdentifier } from '../domain/system-identifier.ts'
import { parseTimelineId, type TimelineId } from '../domain/timeline.ts'
import { toWalSegmentSize, type WalSegmentSize } from '../domain/wal-segment.ts'
import type { PostgresSession } from './connection.ts'
import { quoteIdentifier } from './quote-sql.ts'
import { isServerAnswer, serverWords } from './server-error.ts'

export interface Tablespace {
  readonly oid: number
  readonly name: string
  /** Empty for a tablespace inside the data directory (allow_in_place_tablespaces). */
  readonly location: string
}

/** What a server says about itself. */
export interface ServerFacts {
  readonly version: PostgresVersion
  readonly systemIdentifier: SystemIdentifier
  readonly catalogVersion: number
  readonly timeline: TimelineId
  readonly isInRecovery: boolean
  /** On a standby: the end of what was replayed. */
  readonly currentLsn: Lsn
  /** As timestamptz prints it, in UTC, with microseconds. */
  readonly serverTime: string
  readonly dataDirectory: string
  readonly configFile: string
  readonly hbaFile: string
  readonly socketDirectories: readonly string[]
  readonly port: number
  readonly walSegmentSize: WalSegmentSize
  readonly blockSizeBytes: number
  readonly hasDataChecksums: boolean
  readonly walLevel: string
  readonly archiveMode: string
  readonly archiveCommand: string
  readonly archiveLibrary: string
  /** 0: never. */
  readonly archiveTimeoutSeconds: number
  readonly hasFullPageWrites: boolean
  readonly tablespaces: readonly Tablespace[]
}

const settingNames = [
  'server_version_num',
  'data_directory',
  'config_file',
  'hba_file',
  'unix_socket_directories',
  'port',
  'wal_segment_size',
  'block_size',
  'data_checksums',
  'wal_level',
  'archive_mode',
  'archive_command',
  'archive_timeout',
  'full_page_writes',
] as const

type SettingName = (typeof settingNames)[number]

const purpose = { doing: 'reading what the server says about itself' }

/**
 * Reads the facts in the session's server. The role needs pg_read_all_settings (pg_monitor has it); without it the error
 * names what to grant. Version and shape come from the server, never from programs beside it (R2).
 */
export async function readServerFacts(session: PostgresSession): Promise<ServerFacts> {
  const { settings, archiveLibrary } = await readSettings(session)
  const setting = (name: SettingName): string => settings.get(name) ?? ''
  const version = parseServerVersionNum(setting('server_version_num'))
  return {
    version,
    ...(await readIdentity(session)),
    dataDirectory: setting('data_directory'),
    configFile: setting('config_file'),
    hbaFile: setting('hba_file'),
    socketDirectories: splitDirectories(setting('unix_socket_directories')),
    port: Number(setting('port')),
    walSegmentSize: toWalSegmentSize(Number(setting('wal_segment_size'))),
    blockSizeBytes: Number(setting('block_size')),
    hasDataChecksums: setting('data_checksums') === 'on',
    walLevel: setting('wal_level'),
    archiveMode: setting('archive_mode'),
    archiveCommand: setting('archive_command'),
    archiveLibrary,
    archiveTimeoutSeconds: Number(setting('archive_timeout')),
    hasFullPageWrites: setting('full_page_writes') === 'on',
    tablespaces: await readTablespaces(session),
  }
}

/** What tells a cluster from others, whichever node of it answers, and on which host it is. */
export type ServerIdentity = Pick<ServerFacts, 'version' | 'systemIdentifier' | 'walSegmentSize'>

/**
 * Reads it as any role may that no right was taken from. Throws `server-unsuitable` for a server that does not let this role
 * ask: without a system identifier nothing would notice when another server answers.
 */
export async function readServerIdentity(session: PostgresSession): Promise<ServerIdentity> {
  const version = await readServerVersion(session)
  const [row] = await askForIdentity(session)
  if (row === undefined)
    throw new OperationError('server-failed', `${session.description} gave no control data`)
  return {
    version,
    systemIdentifier: parseSystemIdentifier(unsigned(row.system_identifier)),
    walSegmentSize: toWalSegmentSize(Number(row.segment_size)),
  }
}

async function askForIdentity(
  session: PostgresSession,
): Promise<readonly { system_identifier: string; segment_size: string }[]> {
  try {
    return await session.query(
      `select system_identifier::pg_catalog.text as system_identifier,
          (select setting from pg_catalog.pg_settings where name = 'wal_segment_size') as segment_size
         from pg_catalog.pg_control_system()`,
      [],
      purpose,
    )
  } catch (cause) {
    if (!isServerAnswer(cause) || isOperationError(cause, 'server-unreachable')) throw cause
    throw new OperationError(
      'server-unsuitable',
      `asking ${session.description} for its system identifier: expected pg_control_system() to give it, found ${quote(serverWords(cause))}`,
      {
        cause,
        hint: `As a superuser, run: GRANT EXECUTE ON FUNCTION pg_catalog.pg_control_system() TO ${quoteIdentifier(session.user)}; when a provider does not allow that, its servers cannot be told apart and are not supported.`,
      },
    )
  }
}

/** The server's version alone, for statements that differ between majors. */
export async function readServerVersion(session: PostgresSession): Promise<PostgresVersion> {
  const [row] = await session.query<{ version: string }>(
    "select pg_catalog.current_setting('server_version_num') as version",
    [],
    purpose,
  )
  return parseServerVersionNum(row?.version ?? '')
}

/** The timeline that a server writes on or, in recovery, is known to have reached. */
export async function readTimeline(session: PostgresSession): Promise<TimelineId> {
  return (await readIdentity(session)).timeline
}

/** pg_settings gives plain numbers (bytes, seconds) and leaves out what the role may not see. */
async function readSettings(
  session: PostgresSession,
): Promise<{ settings: ReadonlyMap<string, string>; archiveLibrary: string }> {
  const rows = await session.query<{ name: string; setting: string }>(
    'select name, setting from pg_catalog.pg_settings where name operator(pg_catalog.=) any ($1::pg_catalog.text[])',
    [`{${[...settingNames, 'archive_library'].join(',')}}`],
    purpose,
  )
  const settings = new Map(rows.map(({ name, setting }) => [name, setting]))
  const missing = settingNames.filter((name) => !settings.has(name))
  if (missing.length > 0) {
    throw new OperationError(
      'server-lacks-privilege',
      `role "${session.user}" may not read ${missing.join(', ')} on ${session.description}`,
      { hint: `As a superuser, run: GRANT pg_read_all_settings TO ${quoteIdentifier(session.user)};` },
    )
  }
  return { settings, archiveLibrary: settings.get('archive_library') ?? '' }
}

/**
 * A promoted server knows its new timeline before its control file does, so on a primary it comes from the name of the
 * segment being written: its first eight hex digits (R29).
 */
const identityQuery = `
  select
    pg_catalog.pg_is_in_recovery() as in_recovery,
    s.system_identifier::pg_catalog.text as system_identifier,
    s.catalog_version_no as catalog_version,
    pg_catalog.clock_timestamp() as server_time,
    case when pg_catalog.pg_is_in_recovery()
      then coalesce(pg_catalog.pg_last_wal_replay_lsn(), '0/0')
      else pg_catalog.pg_current_wal_lsn() end as current_lsn,
    case when pg_catalog.pg_is_in_recovery()
      then greatest(c.timeline_id, r.min_recovery_end_timeline)::pg_catalog.text end as replay_timeline,
    case when not pg_catalog.pg_is_in_recovery()
      then pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()) end as segment
  from pg_catalog.pg_control_system() s, pg_catalog.pg_control_checkpoint() c, pg_catalog.pg_control_recovery() r
`

interface IdentityRow {
  in_recovery: string
  system_identifier: string
  catalog_version: string
  server_time: string
  current_lsn: string
  replay_timeline: string | null
  segment: string | null
}

async function readIdentity(
  session: PostgresSession,
): Promise<
  Pick<
    ServerFacts,
    'systemIdentifier' | 'catalogVersion' | 'timeline' | 'isInRecovery' | 'currentLsn' | 'serverTime'
  >
> {
  const [row] = await session.query<IdentityRow>(identityQuery, [], purpose)
  if (row === undefined)
    throw new OperationError('server-failed', `${session.description} gave no control data`)
  const timeline = row.replay_timeline ?? String(Number.parseInt((row.segment ?? '').slice(0, 8), 16))
  return {
    systemIdentifier: parseSystemIdentifier(unsigned(row.system_identifier)),
    catalogVersion: Number(row.catalog_version),
    timeline: parseTimelineId(timeline),
    isInRecovery: row.in_recovery === 't',
    currentLsn: parseLsn(row.current_lsn),
    serverTime: row.server_time,
  }
}

/** SQL shows the 64 bits as a signed number. */
function unsigned(text: string): string {
  return BigInt.asUintN(64, BigInt(text)).toString()
}

/** The tablespaces but pg_default and pg_global. */
export async function readTablespaces(session: PostgresSession): Promise<readonly Tablespace[]> {
  // 1663 and 1664 are pg_default and pg_global (catalog/pg_tablespace.dat).
  const rows = await session.query<{ oid: string; name: string; location: string }>(
    `select oid, spcname as name, pg_catalog.pg_tablespace_location(oid) as location
       from pg_catalog.pg_tablespace where oid operator(pg_catalog.>) 1664 order by oid`,
    [],
    purpose,
  )
  return rows.map(({ oid, name, location }) => ({
    oid: Number(oid),
    name,
    location: location.startsWith('pg_tblspc/') ? '' : location,
  }))
}

/** A list as PostgreSQL writes it: commas between, double quotes around what needs them. */
function splitDirectories(text: string): readonly string[] {
  return [...text.matchAll(/"((?:[^"]|"")*)"|([^",\s][^",]*)/g)].map((match) =>
    match[1] === undefined ? (match[2] ?? '').trim() : match[1].replaceAll('""', '"'),
  )
}
