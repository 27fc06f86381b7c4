import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { RunContext } from '../domain/run-context.ts'
import { linesOf } from '../logical/lines-of.ts'
import { loadDump } from '../logical/load-dump.ts'
import { wholeDump } from '../logical/load-selection.ts'
import type { ClientPrograms } from '../postgres/client-programs.ts'
import { connect, type PostgresSession } from '../postgres/connection.ts'
import { quoteIdentifier, quoteLiteral } from '../postgres/quote-sql.ts'
import type { EmptyServer } from '../sandbox/open-empty-server.ts'

export interface GlobalsRequest {
  readonly server: EmptyServer
  readonly programs: ClientPrograms
  /** What `pg_dumpall --globals-only` wrote. */
  readonly chunks: AsyncIterable<Uint8Array>
  /** The role that the server had first. */
  readonly firstRole: string
}

export interface LoadedGlobals {
  readonly roleCount: number
  readonly tablespaceCount: number
}

/**
 * Makes the roles and tablespaces of a dump in a throw-away server. The directories of tablespaces are made in the folder of the
 * sandbox, wherever they are on the server that was dumped. Throws `load-failed`, and what `chunks` throws.
 */
export async function loadGlobals(
  { server, programs, chunks, firstRole }: GlobalsRequest,
  context: RunContext,
): Promise<LoadedGlobals> {
  await using session = await connect(server.conninfo, context)
  let tablespaceCount = 0
  const makeTablespace = async (name: string): Promise<void> => {
    tablespaceCount += 1
    await createTablespace({ name, folder: join(server.tablespaceFolder, String(tablespaceCount)) }, session)
  }
  const text = adapted(chunks, { firstRole, makeTablespace })
  const selection = { ...wholeDump, format: 'plain' } as const
  await loadDump({ conninfo: server.conninfo, programs, selection, chunks: text }, context)
  return { roleCount: await countRoles(session), tablespaceCount }
}

export async function createTablespace(
  { name, folder }: { readonly name: string; readonly folder: string },
  session: PostgresSession,
): Promise<void> {
  await mkdir(folder, { mode: 0o700 })
  await session.query(`create tablespace ${quoteIdentifier(name)} location ${quoteLiteral(folder)}`)
}

interface Adapting {
  readonly firstRole: string
  readonly makeTablespace: (name: string) => Promise<void>
}

const identifier = String.raw`("(?:[^"]|"")+"|[^\s"]+)`
const createRole = new RegExp(`^CREATE ROLE ${identifier};$`)
const createTablespaceLine = new RegExp(`^CREATE TABLESPACE ${identifier} OWNER ${identifier} LOCATION .*;$`)

/**
 * The text for another server: without the role that is there already, and with tablespaces that are made as their lines come by,
 * since no transaction can do that.
 */
export async function* adapted(
  chunks: AsyncIterable<Uint8Array>,
  { firstRole, makeTablespace }: Adapting,
): AsyncGenerator<Uint8Array, void> {
  for await (const line of linesOf(chunks)) {
    const role = createRole.exec(line)?.[1]
    if (role !== undefined && nameOf(role) === firstRole) continue
    const [, tablespace, owner] = createTablespaceLine.exec(line) ?? []
    if (tablespace !== undefined) await makeTablespace(nameOf(tablespace))
    const written =
      tablespace === undefined ? line : `ALTER TABLESPACE ${tablespace} OWNER TO ${owner ?? ''};`
    yield Buffer.from(`${written}\n`, 'latin1')
  }
}

/** What an identifier stands for, as pg_dumpall quotes them. */
function nameOf(written: string): string {
  const name = Buffer.from(written, 'latin1').toString('utf8')
  return name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name
}

/** Without those of every server, and ours. */
async function countRoles(session: PostgresSession): Promise<number> {
  const [row] = await session.query<{ count: string }>(
    "select pg_catalog.count(*) as count from pg_catalog.pg_roles where rolname !~ '^pg_' and rolname <> current_user",
  )
  return Number(row?.count ?? 0)
}
