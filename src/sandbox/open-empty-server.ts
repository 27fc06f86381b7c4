import { OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'
import type { RunContext } from '../domain/run-context.ts'
import { runProcess } from '../platform/child-process.ts'
import { findNetworkCutter } from '../platform/network-namespace.ts'
import type { ServerBinaries } from '../postgres/binaries.ts'
import { connect } from '../postgres/connection.ts'
import type { Conninfo } from '../postgres/conninfo.ts'
import { makeSandboxFolder } from './sandbox-folder.ts'
import { makeSandboxSite, startSandboxServer } from './sandbox-server.ts'

export interface EmptyServerRequest {
  /** Where sandboxes are made. Absolute; made if missing. */
  readonly parent: string
  readonly binaries: ServerBinaries
  /** The role that is there first: grants may say that they are from it. */
  readonly firstRole: string
  /** So many things may be made or locked in one transaction. */
  readonly lockCount: number
}

/** A throw-away server without anything in it. Disposing it stops the server and removes everything. */
export interface EmptyServer extends AsyncDisposable {
  /** Of a superuser of ours, to `template1`, on a socket that only this user can reach. */
  readonly conninfo: Conninfo
  /** Where directories of tablespaces may be made. */
  readonly tablespaceFolder: string
  /** False when the server has ended. */
  isAlive(): boolean
}

/** No role of a cluster is called so. */
const ownRole = 'holdfast_drill'
const dbname = 'template1'
const maxConnections = 20
const fewestLocks = 64

/**
 * Makes a cluster with `initdb` in a folder of its own and starts a server on it that is cut off as a sandbox is (R63). It has
 * `template1` and no other database. Throws `server-failed` when initdb fails, `recovery-failed` when the server does not start.
 */
export async function openEmptyServer(
  { parent, binaries, firstRole, lockCount }: EmptyServerRequest,
  context: RunContext,
): Promise<EmptyServer> {
  await using opened = new AsyncDisposableStack()
  const folder = opened.use(await makeSandboxFolder(parent, context))
  await initialize({ binaries, dataDirectory: folder.dataDirectory, firstRole }, context)
  const site = await makeSandboxSite(folder, opened, context)
  const settings = {
    max_connections: String(maxConnections),
    max_locks_per_transaction: String(Math.max(fewestLocks, Math.ceil(lockCount / maxConnections))),
    wal_level: 'minimal',
    full_page_writes: 'off',
    synchronous_commit: 'off',
  }
  const launcher = await findNetworkCutter(context.signal)
  const server = opened.use(
    await startSandboxServer(
      { ...site, launcher, serverBinaries: binaries, isReadOnly: false, settings, user: firstRole, dbname },
      context,
    ),
  )
  await server.waitUntilAccepting(context)
  await prepare(server.conninfo, context)
  const lifetime = opened.move()
  return {
    conninfo: { ...server.conninfo, user: ownRole },
    tablespaceFolder: folder.tablespaceFolder,
    isAlive: () => server.isAlive(),
    [Symbol.asyncDispose]: () => lifetime.disposeAsync(),
  }
}

interface Initialization {
  readonly binaries: ServerBinaries
  readonly dataDirectory: string
  readonly firstRole: string
}

/** The first that this machine has: of both the order is that of the bytes. */
const locales = ['C.UTF-8', 'C'] as const

async function initialize(request: Initialization, context: RunContext): Promise<void> {
  const { initdb } = request.binaries
  let why = ''
  for (const locale of locales) {
    const { exitCode, killedBy, stderr } = await runInitdb(request, locale, context)
    if (exitCode === 0) return
    why = `"${initdb}" ended with ${exitCode ?? killedBy}: ${stderr.trim().split('\n').slice(-5).join('; ')}`
    if (!/invalid locale/.test(stderr)) break
  }
  throw new OperationError(
    'server-failed',
    `making an empty cluster in ${quote(request.dataDirectory)}: ${why}`,
  )
}

/** What fails is removed by initdb itself. */
function runInitdb(
  { binaries, dataDirectory, firstRole }: Initialization,
  locale: string,
  { signal }: RunContext,
): ReturnType<typeof runProcess> {
  const args = [
    `--pgdata=${dataDirectory}`,
    `--username=${firstRole}`,
    '--encoding=UTF8',
    `--locale=${locale}`,
    '--auth=trust',
    '--no-sync',
    '--no-instructions',
  ]
  return runProcess(binaries.initdb, args, { signal, cwd: '/', env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' } })
}

/** A superuser that no dump changes, and no database that one would have to be loaded over. */
async function prepare(conninfo: Conninfo, context: RunContext): Promise<void> {
  await using session = await connect(conninfo, context)
  await session.query(`create role ${ownRole} superuser login`)
  await session.query('drop database postgres')
}
