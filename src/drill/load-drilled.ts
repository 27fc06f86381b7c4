import { join } from 'node:path'
import { isOperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { DumpSelection } from '../logical/dump-selection.ts'
import { wholeDump } from '../logical/load-selection.ts'
import { runLoad } from '../logical/run-load.ts'
import type { LoadSpooling } from '../logical/spool.ts'
import type { ClientPrograms } from '../postgres/client-programs.ts'
import { connect } from '../postgres/connection.ts'
import { quoteIdentifier } from '../postgres/quote-sql.ts'
import type { EmptyServer } from '../sandbox/open-empty-server.ts'
import { createTablespace } from './load-globals.ts'

export interface DrilledLoad {
  readonly server: EmptyServer
  readonly programs: ClientPrograms
  readonly database: string
  readonly format: DumpSelection['format']
  readonly spooling: LoadSpooling
  /** How it is made: `readCreation`. */
  readonly creation: string | undefined
  /** The dump of it, each time from its beginning. */
  readonly read: () => AsyncIterable<Uint8Array>
}

/** What the dump names and does not hold, so that it was made for it. */
export class MadeForDump {
  readonly roles: string[] = []
  readonly tablespaces: string[] = []

  get count(): number {
    return this.roles.length + this.tablespaces.length
  }
}

/** So many roles and tablespaces are made that a dump names and does not hold. */
const mostMade = 1000

/** Loads a database of a dump, as `load --create` does. Gives the milliseconds that it took. Throws what `runLoad` throws. */
export async function loadDrilled(
  { server, programs, database, format, creation, read, spooling }: DrilledLoad,
  context: RunContext,
): Promise<number> {
  const began = context.clock.monotonic()
  // The one that every server has: it is empty, too.
  const isCreated = database !== server.conninfo.dbname
  const selection = { ...wholeDump, format } as const
  const loading = { conninfo: server.conninfo, database, isCreated, creation, selection, programs, spooling }
  await runLoad({ ...loading, chunks: read() }, context)
  return Math.round(context.clock.monotonic() - began)
}

/**
 * The same for a dump without the roles of its server: those that it names are made, and tablespaces, so that owners and
 * privileges can be loaded as they are. Each is found by a load that fails for it; of an archive by one without rows.
 */
export async function loadWithoutGlobals(
  load: DrilledLoad,
  made: MadeForDump,
  context: RunContext,
): Promise<number> {
  if (load.format !== 'plain') await makeMissing(load, { made, work: () => rehearse(load, context) }, context)
  return makeMissing(load, { made, work: () => loadDrilled(load, context) }, context)
}

const rehearsal = 'holdfast_rehearsal'

/** Loads the definitions alone, and removes them. */
async function rehearse(
  { server, programs, format, creation, read, spooling }: DrilledLoad,
  context: RunContext,
): Promise<void> {
  const selection = { ...wholeDump, format, content: 'schema-only' } as const
  const loading = {
    conninfo: server.conninfo,
    database: rehearsal,
    isCreated: true,
    creation,
    selection,
    programs,
    spooling,
  }
  await runLoad({ ...loading, chunks: read() }, context)
  await using session = await connect(server.conninfo, context)
  await session.query(`drop database ${quoteIdentifier(rehearsal)}`)
}

interface Work<Result> {
  readonly made: MadeForDump
  readonly work: () => Promise<Result>
}

/** Works until it no longer fails for a role or a tablespace that is not there. */
async function makeMissing<Result>(
  { server }: DrilledLoad,
  { made, work }: Work<Result>,
  context: RunContext,
): Promise<Result> {
  while (made.count < mostMade) {
    try {
      return await work()
    } catch (error) {
      if (!isOperationError(error, 'load-failed')) throw error
      const role = /\brole "([^;]+?)" does not exist/.exec(error.message)?.[1]
      const tablespace = /\btablespace "([^;]+?)" does not exist/i.exec(error.message)?.[1]
      if (role !== undefined && !made.roles.includes(role)) {
        made.roles.push(role)
        await using session = await connect(server.conninfo, context)
        await session.query(`create role ${quoteIdentifier(role)}`)
      } else if (tablespace !== undefined && !made.tablespaces.includes(tablespace)) {
        made.tablespaces.push(tablespace)
        await using session = await connect(server.conninfo, context)
        const folder = join(server.tablespaceFolder, `made-${made.tablespaces.length}`)
        await createTablespace({ name: tablespace, folder }, session)
      } else throw error
    }
  }
  return work()
}
