import { formatLsn } from '../domain/lsn.ts'
import { formatPostgresVersion, type PostgresVersion } from '../domain/postgres-version.ts'
import { quote } from '../domain/quote.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { ClientPrograms } from '../postgres/client-programs.ts'
import { connect } from '../postgres/connection.ts'
import type { Conninfo } from '../postgres/conninfo.ts'
import { canCompressByZstd } from '../postgres/program-compression.ts'
import { passwordsFact, selectionFact } from '../repository/dump-contents.ts'
import type { DumpEntry } from '../repository/dump-entry.ts'
import type { DumpHead, DumpMember } from '../repository/dump-head.ts'
import { readMember, type DumpPlace } from '../repository/dump-reader.ts'
import { openDumpWriter, type DumpWriter } from '../repository/dump-writer.ts'
import { acquireDumpLease, chooseDumpLabel, publishDump } from '../repository/take-dump.ts'
import { dumpDatabase } from './dump-database.ts'
import { dumpGlobals } from './dump-globals.ts'
import { describePart, type DumpSelection } from './dump-selection.ts'
import { listDatabases, readFirstRole, requireDatabases, serverTime } from './list-databases.ts'
import { countContents } from './read-contents.ts'
import type { Spooling } from './spool.ts'

export interface DumpRequest {
  readonly conninfo: Conninfo
  /** Undefined: all that let somebody in, but for the excluded ones. */
  readonly databases: readonly string[] | undefined
  readonly excludedDatabases?: readonly string[] | undefined
  /** Whether roles and tablespaces are dumped, too. */
  readonly hasGlobals: boolean
  /** Whether that includes the hashes of passwords. */
  readonly hasPasswords: boolean
  readonly selection: DumpSelection
  /** What is to be kept with the dump besides what is found out here. */
  readonly facts?: Readonly<Record<string, string>>
}

export interface DumpTools {
  readonly place: DumpPlace
  readonly version: PostgresVersion
  readonly programs: ClientPrograms
  /** zstd level, for pg_dump where it can compress, so that little goes from process to process; else for what it writes. */
  readonly compressionLevel: number
  /** For the directory format. */
  readonly spooling?: Spooling | undefined
}

export interface RunDump {
  readonly dump: DumpEntry
  readonly members: readonly DumpMember[]
  readonly facts: DumpHead['facts']
}

/** The member that holds roles and tablespaces. No database can be called so: its members begin with another word. */
const globalsMember = 'globals'

const memberOfDatabase = (database: string): string => `database ${database}`

/**
 * Dumps databases one after the other, each in a snapshot of its own: they are as of different moments. It is listed when all of it
 * is stored, and the tables of contents were read back. Throws `dump-failed` and what the repository throws; then nothing is listed.
 */
export async function runDump(request: DumpRequest, tools: DumpTools, context: RunContext): Promise<RunDump> {
  const { place } = tools
  await using lease = await acquireDumpLease(place, context)
  const held = { ...context, signal: AbortSignal.any([context.signal, lease.lost]) }
  await using session = await connect(request.conninfo, held)
  const databases = request.databases ?? (await listDatabases(session, request.excludedDatabases))
  await requireDatabases(session, databases)
  const label = await chooseDumpLabel(place, held)
  const writer = openDumpWriter(place, { label, lease, compressionLevel: tools.compressionLevel }, held)
  try {
    const startedAt = await serverTime(session)
    const facts = new Map<string, string>([
      ...Object.entries(request.facts ?? {}),
      ['server version', formatPostgresVersion(tools.version)],
      ['client version', tools.programs.version],
      [selectionFact, describePart(request.selection)],
    ])
    const zstdLevel = await programLevel(request.selection, tools, held)
    if (zstdLevel !== undefined) facts.set('compression', `zstd:${zstdLevel}`)
    if (request.hasGlobals) facts.set('first role', await readFirstRole(session))
    const members: DumpMember[] = []
    if (request.hasGlobals) {
      facts.set(passwordsFact, request.hasPasswords ? 'with' : 'without')
      members.push(await writeGlobals(request, { writer, tools }, held))
    }
    for (const database of databases) {
      held.report({ kind: 'note', message: `dumping database ${quote(database)}` })
      members.push(
        await writeDatabase({ request, database, label, zstdLevel }, { writer, tools, facts }, held),
      )
    }
    const known = { startedAt, stoppedAt: await serverTime(session), facts: Object.fromEntries(facts) }
    const dump = await writer.finish(known)
    await publishDump({ place, lease, dump }, held)
    return { dump, members, facts: known.facts }
  } catch (error) {
    await writer.discard()
    held.signal.throwIfAborted()
    throw error
  }
}

interface Writing {
  readonly writer: DumpWriter
  readonly tools: DumpTools
}

function writeGlobals(
  { conninfo, hasPasswords }: DumpRequest,
  { writer, tools: { programs } }: Writing,
  context: RunContext,
): Promise<DumpMember> {
  const description = { name: globalsMember, kind: 'globals', database: undefined, format: 'plain' }
  return writer.writeMember(description, dumpGlobals({ conninfo, programs, hasPasswords }, context))
}

interface DatabaseOf {
  readonly request: DumpRequest
  readonly database: string
  readonly label: DumpEntry['label']
  readonly zstdLevel: number | undefined
}

/** Undefined: pg_dump does not compress. SQL text is to be read as it comes. */
async function programLevel(
  { format }: DumpSelection,
  { programs, compressionLevel }: DumpTools,
  context: RunContext,
): Promise<number | undefined> {
  return format !== 'plain' && (await canCompressByZstd(programs, context)) ? compressionLevel : undefined
}

async function writeDatabase(
  { request, database, label, zstdLevel }: DatabaseOf,
  { writer, tools, facts }: Writing & { readonly facts: Map<string, string> },
  context: RunContext,
): Promise<DumpMember> {
  const { programs, spooling } = tools
  const { selection } = request
  const conninfo = { ...request.conninfo, dbname: database }
  await using dump = await dumpDatabase({ conninfo, programs, selection, spooling, zstdLevel }, context)
  const description = {
    name: memberOfDatabase(database),
    kind: 'database',
    database,
    format: selection.format,
  }
  const member = await writer.writeMember(description, dump.chunks, { isCompressed: zstdLevel !== undefined })
  const { startLsn, stopLsn } = dump.window()
  const note = (what: string, value: string): void => void facts.set(`${what} of ${description.name}`, value)
  note('snapshot', dump.snapshot)
  note('start LSN', formatLsn(startLsn))
  note('stop LSN', formatLsn(stopLsn))
  if (selection.format !== 'plain') note('entries', String(await readBack({ label, member }, tools, context)))
  return member
}

/** How many entries the archive has that was stored. */
async function readBack(
  { label, member }: { readonly label: DumpEntry['label']; readonly member: DumpMember },
  { programs, place, spooling }: DumpTools,
  context: RunContext,
): Promise<number> {
  const chunks = readMember(place, { entry: { label }, member }, context)
  const spoolParent = member.format === 'directory' ? spooling?.parent : undefined
  return countContents({ programs, chunks, spoolParent }, context)
}
