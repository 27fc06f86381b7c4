import { chmod, chown, lstat, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import {
  sendSignal,
  spawnDetached,
  type DetachedProcess,
  type ProcessExit,
} from '../platform/child-process.ts'
import { allowCoreDumpsOf } from '../platform/core-dump.ts'
import { parseConninfo, type Conninfo } from './conninfo.ts'
import { connect } from './connection.ts'
import { fatalLinesOf, readLogTail } from './server-log.ts'

export interface PrivateServerRequest {
  readonly binDirectory: string
  readonly dataDirectory: string
  /** Made if missing, mode 0700. Nobody else may enter it, so whoever can connect is trusted. */
  readonly socketDirectory: string
  /** Passed on the command line: they win over every configuration file. */
  readonly settings?: Readonly<Record<string, string>>
  readonly logFile: string
  /** A program and its arguments that starts the server in its own place: `findNetworkCutter`. Default: none. */
  readonly launcher?: readonly string[]
  /** The owner of the data directory, when we are root: PostgreSQL refuses to run as root. Default: as we are. */
  readonly owner?: { readonly uid: number; readonly gid: number }
  /** A superuser of the cluster and a database to connect to. Default: postgres. */
  readonly user?: string
  readonly dbname?: string
}

type StopMode = 'smart' | 'fast' | 'immediate'

/**
 * A server of our own on a directory, reachable only through its private socket directory. It may outlive us only if we
 * are killed: disposing it stops it, with force if it must.
 */
export interface PrivateServer extends AsyncDisposable {
  readonly pid: number
  readonly conninfo: Conninfo
  /** Resolves when the server has ended, whoever ended it. */
  readonly exited: Promise<ProcessExit>
  isAlive(): boolean
  /**
   * Resolves when the server accepts connections. That is no success yet (M7): recovery may fail later, and only its
   * state can tell. Fails with the server's own words when the server ends first.
   */
  waitUntilAccepting(context: RunContext): Promise<void>
  /** The end of the server's log, at most 64 KiB. */
  readLog(): Promise<string>
  /** Resolves when the server has ended, however long that takes; the caller's signal bounds it. */

  stop(mode: StopMode, context: RunContext): Promise<void>
}

const port = 5432
/** sun_path on Linux holds 107 bytes and a zero. */
const longestSocketDirectoryBytes = 107 - `/.s.PGSQL.${port}.lock`.length

const stopSignals = { smart: 'SIGTERM', fast: 'SIGINT', immediate: 'SIGQUIT' } as const

/** Starts the server and returns at once; its start-up may still fail. */
export async function startPrivateServer(
  request: PrivateServerRequest,
  context: RunContext,
): Promise<PrivateServer> {
  context.signal.throwIfAborted()
  await prepareSocketDirectory(request)
  const hbaFile = await writeOwned(request, 'hba.conf', 'local all all trust\n')
  const identFile = await writeOwned(request, 'ident.conf', '')
  const settings = { ...isolation(request), hba_file: hbaFile, ident_file: identFile, ...request.settings }
  const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const server = [join(request.binDirectory, 'postgres'), '-D', request.dataDirectory, ...args]
  const [file = '', ...fileArgs] = [...(request.launcher ?? []), ...server]
  const child = await spawnDetached(file, fileArgs, {
    logFile: request.logFile,
    cwd: '/',
    env: { LC_ALL: 'C', PGDATA: request.dataDirectory },
    ...request.owner,
  })
  allowCoreDumpsOf(child.pid)
  return new RunningServer(child, request)
}

/** What keeps the server to ourselves and its log where and how we read it. */
function isolation({ dataDirectory, socketDirectory }: PrivateServerRequest): Record<string, string> {
  return {
    data_directory: dataDirectory,
    listen_addresses: '',
    port: String(port),
    // A list for PostgreSQL: quoted, because a comma or a blank would split it.
    unix_socket_directories: `"${socketDirectory.replaceAll('"', '""')}"`,
    unix_socket_permissions: '0700',
    external_pid_file: '',
    ssl: 'off',
    bonjour: 'off',
    logging_collector: 'off',
    log_destination: 'stderr',
    log_line_prefix: '%m [%p] ',
    log_min_messages: 'log',
    lc_messages: 'C',
  }
}

async function prepareSocketDirectory({ socketDirectory, owner }: PrivateServerRequest): Promise<void> {
  const sizeBytes = Buffer.byteLength(socketDirectory)
  if (sizeBytes > longestSocketDirectoryBytes) {
    throw new OperationError(
      'path-unsafe',
      `socket directory "${socketDirectory}" has ${sizeBytes} bytes, a Unix socket allows ${longestSocketDirectoryBytes}`,
      { hint: 'Use a directory with a shorter path.' },
    )
  }
  try {
    await mkdir(socketDirectory, { recursive: true, mode: 0o700 })
    if (!(await lstat(socketDirectory)).isDirectory()) {
      throw new OperationError('path-unsafe', `socket directory "${socketDirectory}" is not a directory`)
    }
    await chmod(socketDirectory, 0o700)
    if (owner !== undefined) await chown(socketDirectory, owner.uid, owner.gid)
  } catch (cause) {
    if (cause instanceof OperationError) throw cause
    throw new OperationError('file-unwritable', `cannot prepare socket directory "${socketDirectory}"`, {
      cause,
    })
  }
}

async function writeOwned(request: PrivateServerRequest, name: string, content: string): Promise<string> {
  const path = join(request.socketDirectory, name)
  try {
    await writeFile(path, content, { mode: 0o600 })
    if (request.owner !== undefined) await chown(path, request.owner.uid, request.owner.gid)
    return path
  } catch (cause) {
    throw new OperationError('file-unwritable', `cannot write "${path}"`, { cause })
  }
}

/** How dispose stops a server: how long each signal gets before the next one. */
const disposeSteps: readonly (readonly [NodeJS.Signals, number])[] = [
  ['SIGINT', 10_000],
  ['SIGQUIT', 5000],
  ['SIGKILL', 5000],
]
const probeIntervalMs = 25

class RunningServer implements PrivateServer {
  readonly pid: number
  readonly conninfo: Conninfo
  readonly exited: Promise<ProcessExit>
  readonly #request: PrivateServerRequest
  #exit: ProcessExit | undefined

  constructor(child: DetachedProcess, request: PrivateServerRequest) {
    this.pid = child.pid
    this.#request = request
    this.exited = child.exited.then((exit) => {
      this.#exit = exit
      return exit
    })
    this.conninfo = {
      ...parseConninfo('', {
        user: request.user ?? 'postgres',
        host: request.socketDirectory,
        port: String(port),
      }),
      dbname: request.dbname ?? 'postgres',
    }
  }

  isAlive(): boolean {
    return this.#exit === undefined
  }

  async waitUntilAccepting(context: RunContext): Promise<void> {
    for (;;) {
      context.signal.throwIfAborted()
      if (!this.isAlive()) throw await this.#earlyEnd()
      if (await this.#isAccepting(context)) return
      await context.clock.sleep(probeIntervalMs, context.signal)
    }
  }

  async readLog(): Promise<string> {
    return readLogTail(this.#request.logFile)
  }

  async stop(mode: StopMode, context: RunContext): Promise<void> {
    this.#signal(stopSignals[mode])
    // Not by waiting for `exited`: a detached child does not keep our process alive, the pauses do.
    while (this.isAlive()) await context.clock.sleep(probeIntervalMs, context.signal)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const [signal, patienceMs] of disposeSteps) {
      if (!this.isAlive()) return
      this.#signal(signal)
      await this.#endsWithin(patienceMs)
    }
    if (this.isAlive()) {
      throw new OperationError(
        'server-failed',
        `server process ${this.pid} does not end, not even by SIGKILL`,
      )
    }
  }

  async #endsWithin(patienceMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, patienceMs)
      void this.exited.then(() => {
        clearTimeout(timer)
        resolve()
        return undefined
      })
    })
  }

  #signal(signal: NodeJS.Signals): void {
    if (this.isAlive()) sendSignal(this.pid, signal)
  }

  /** Everything that keeps it from answering may pass, as long as the process lives. */
  async #isAccepting(context: RunContext): Promise<boolean> {
    try {
      await using _ = await connect(this.conninfo, context)
      return true
    } catch (error) {
      context.signal.throwIfAborted()
      if (error instanceof OperationError && error.code === 'server-unreachable') return false
      throw error
    }
  }

  async #earlyEnd(): Promise<OperationError> {
    const log = await this.readLog()
    const reasons = fatalLinesOf(log)
    const why =
      reasons.length === 0 ? `its log ends "${log.trimEnd().split('\n').at(-1) ?? ''}"` : reasons.join('; ')
    return new OperationError(
      'recovery-failed',
      `the server on "${this.#request.dataDirectory}" ended early: ${why}`,
      {
        hint: `Read the server log "${this.#request.logFile}".`,
      },
    )
  }
}
