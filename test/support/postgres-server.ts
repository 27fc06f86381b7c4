import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { open, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { DatabaseError } from 'pg'
import type { ClientConfig } from 'pg'
import { compileCache } from './compile-cache.ts'
import { freePort } from './free-port.ts'
import { commandLineSettings, initializeCluster, writeSettings } from './initialize-cluster.ts'
import type { ClusterShape, Settings } from './initialize-cluster.ts'
import { killServerIn } from './live-processes.ts'
import type { Scratch } from './scratch.ts'
import { serverBinaries } from './server-binaries.ts'
import type { Major } from './server-binaries.ts'
import { isConnectionLoss, openSession, textualTimes } from './server-session.ts'
import type { Session } from './server-session.ts'
import { identityOf } from './server-user.ts'
import type { ServerUser } from './server-user.ts'
import { waitUntil } from './wait.ts'

export interface StartOptions extends ClusterShape {
  readonly major: Major
  readonly scratch: Scratch
  /** Lines for postgresql.conf. */
  readonly settings?: Settings
}

export interface OpenOptions {
  readonly dataDirectory: string
  readonly major: Major
  readonly scratch: Scratch
  /** Given on the command line: they win over every file of the directory, none of which is changed. */
  readonly settings?: Settings
  /** How long recovery may take until the server accepts connections. Default: 60 000. */
  readonly startTimeoutMs?: number
}

type StopMode = 'smart' | 'fast' | 'immediate'

interface ServerPlace {
  readonly major: Major
  readonly dataDirectory: string
  readonly binDirectory: string
  readonly socketDirectory: string
  readonly port: number
  readonly user: ServerUser
  readonly overrides: Settings
  readonly startTimeoutMs: number
}

const stopSignals = { smart: 'SIGTERM', fast: 'SIGINT', immediate: 'SIGQUIT' } as const
const stopTimeoutMs = 60_000

/** Makes a new cluster and starts a server on it, reachable through a Unix socket only. */
export async function startServer({
  major,
  scratch,
  settings = {},
  ...shape
}: StartOptions): Promise<TestServer> {
  const binDirectory = await serverBinaries(major)
  const port = await freePort()
  const dataDirectory = await scratch.makeFolder(`pg${major}-${port}`)
  const { user } = scratch
  await initializeCluster({ dataDirectory, binDirectory, major, user }, shape, settings)
  const overrides = 'listen_addresses' in settings ? {} : { listen_addresses: '' }
  return startIn({
    major,
    dataDirectory,
    binDirectory,
    port,
    user,
    overrides,
    socketDirectory: scratch.folder,
    startTimeoutMs: 60_000,
  })
}

/** Starts a server on a directory that exists, a restored one say. Fails with the end of its log if it does not come up. */
export async function openServer(options: OpenOptions): Promise<TestServer> {
  const { dataDirectory, major, scratch, settings = {}, startTimeoutMs = 60_000 } = options
  return startIn({
    major,
    dataDirectory,
    startTimeoutMs,
    binDirectory: await serverBinaries(major),
    port: await freePort(),
    user: scratch.user,
    overrides: { listen_addresses: '', dynamic_shared_memory_type: 'mmap', ...settings },
    socketDirectory: scratch.folder,
  })
}

async function startIn(place: ServerPlace): Promise<TestServer> {
  const server = new TestServer(place)
  try {
    await server.start()
    return server
  } catch (error) {
    await server.kill()
    throw error
  }
}

/** A real PostgreSQL server. Disposing it shuts it down at once and leaves its directory, which belongs to the scratch. */
export class TestServer implements AsyncDisposable {
  readonly major: Major
  readonly dataDirectory: string
  readonly binDirectory: string
  readonly socketDirectory: string
  readonly port: number
  /** The operating system's user; the database superuser is always `postgres`. */
  readonly user: ServerUser
  readonly #startTimeoutMs: number
  readonly #logFile: string
  #overrides: Settings
  #postmaster: ChildProcess | undefined

  constructor(place: ServerPlace) {
    this.major = place.major
    this.dataDirectory = place.dataDirectory
    this.binDirectory = place.binDirectory
    this.socketDirectory = place.socketDirectory
    this.port = place.port
    this.user = place.user
    this.#startTimeoutMs = place.startTimeoutMs
    this.#logFile = join(place.socketDirectory, `server-${place.port}.log`)
    this.#overrides = place.overrides
  }

  /** For libpq and for our own configuration: keywords and values. */
  get connectionString(): string {
    return `host=${this.socketDirectory} port=${this.port} user=postgres dbname=postgres`
  }

  /** For `pg`. Times come as text. */
  get clientConfig(): ClientConfig {
    return {
      host: this.socketDirectory,
      port: this.port,
      user: 'postgres',
      database: 'postgres',
      types: textualTimes,
    }
  }

  /** Of the postmaster; undefined when it does not run. */
  get pid(): number | undefined {
    return this.isRunning() ? this.#postmaster?.pid : undefined
  }

  isRunning(): boolean {
    return this.#postmaster?.exitCode === null && this.#postmaster.signalCode === null
  }

  async start(): Promise<void> {
    assert.ok(!this.isRunning(), 'the server runs already')
    const settings: Settings = {
      ...this.#overrides,
      port: this.port,
      unix_socket_directories: this.socketDirectory,
      logging_collector: false,
    }
    await using log = await open(this.#logFile, 'a')
    const postmaster = spawn(
      join(this.binDirectory, 'postgres'),
      ['-D', this.dataDirectory, ...commandLineSettings(settings)],
      {
        cwd: '/',
        detached: true,
        stdio: ['ignore', log.fd, log.fd],
        // An archive_command finds the Node that runs the tests.
        env: {
          PATH: `${dirname(process.execPath)}:/usr/local/bin:/usr/bin:/bin`,
          LC_ALL: 'C',
          TZ: 'UTC',
          ...compileCache(),
        },
        ...identityOf(this.user),
      },
    )
    await once(postmaster, 'spawn')
    postmaster.unref()
    this.#postmaster = postmaster
    await this.#untilAccepting()
  }

  async stop(mode: StopMode = 'fast'): Promise<void> {
    if (!this.isRunning()) return
    this.#postmaster?.kill(stopSignals[mode])
    await waitUntil(`a ${mode} shutdown of the server on port ${this.port}`, () => !this.isRunning(), {
      timeoutMs: stopTimeoutMs,
      intervalMs: 5,
    })
  }

  /** SIGKILL for the postmaster and all its children. */
  async kill(): Promise<void> {
    await killServerIn(this.dataDirectory)
    await waitUntil('the death of the postmaster', () => !this.isRunning(), { intervalMs: 5 })
  }

  /** Stops fast and starts, with these settings from now on. */
  async restart(settings: Settings = {}): Promise<void> {
    await this.stop()
    await this.#apply(settings)
    await this.start()
  }

  /** Puts the settings into postgresql.conf and returns when new sessions see them. */
  async reload(settings: Settings = {}): Promise<void> {
    await this.#apply(settings)
    const loaded = 'select pg_conf_load_time() as at'
    const [before] = await this.query<{ at: string }>(loaded)
    await this.query('select pg_reload_conf()')
    await waitUntil('the settings to be reloaded', async () => {
      const [now] = await this.query<{ at: string }>(loaded)
      return now?.at !== before?.at
    })
  }

  /** Takes effect at the next reload, restart or start, as the setting's kind has it. */
  async setSetting(name: string, value: string | number | boolean): Promise<void> {
    await this.#apply({ [name]: value })
  }

  /** One statement in a connection of its own. */
  async query<Row extends object = Record<string, unknown>>(
    sql: string,
    parameters: readonly unknown[] = [],
  ): Promise<readonly Row[]> {
    await using session = await this.session()
    const { rows } = await session.query<Row>(sql, [...parameters])
    return rows
  }

  async session(database = 'postgres'): Promise<Session> {
    return openSession({ ...this.clientConfig, database })
  }

  /** All that the server wrote to its standard error so far, over all its starts. */
  async log(): Promise<string> {
    return readFile(this.#logFile, 'utf8')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop('immediate')
  }

  /** Settings that were given on the command line stay there, for no file could win over them. */
  async #apply(settings: Settings): Promise<void> {
    const isOverride = ([name]: [string, unknown]): boolean => name in this.#overrides
    const entries = Object.entries(settings)
    this.#overrides = { ...this.#overrides, ...Object.fromEntries(entries.filter(isOverride)) }
    await writeSettings(this.dataDirectory, Object.fromEntries(entries.filter((entry) => !isOverride(entry))))
  }

  async #untilAccepting(): Promise<void> {
    const deadline = performance.now() + this.#startTimeoutMs
    while (!(await this.#isAccepting())) {
      if (!this.isRunning())
        throw await this.#failure(`ended with ${this.#postmaster?.exitCode} while starting`)
      if (performance.now() > deadline)
        throw await this.#failure(`was not ready in ${this.#startTimeoutMs} ms`)
      await new Promise((resolve) => {
        setTimeout(resolve, 10)
      })
    }
  }

  async #isAccepting(): Promise<boolean> {
    try {
      await using _ = await this.session()
      return true
    } catch (error) {
      if (isConnectionLoss(error)) return false
      // It speaks to us: that this database or role is not there is for the test to find out.
      if (error instanceof DatabaseError) return true
      throw error
    }
  }

  async #failure(what: string): Promise<Error> {
    const tail = (await this.log()).trimEnd().split('\n').slice(-30).join('\n')
    return new Error(`PostgreSQL ${this.major} in "${this.dataDirectory}" ${what}; its log ends:\n${tail}`)
  }
}
