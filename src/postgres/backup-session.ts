import assert from 'node:assert/strict'
import { parseLsn, type Lsn } from '../domain/lsn.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { PostgresVersion } from '../domain/postgres-version.ts'
import type { RunContext } from '../domain/run-context.ts'
import { parseTimelineId, type TimelineId } from '../domain/timeline.ts'
import type { Conninfo } from './conninfo.ts'
import { connect, type PostgresSession } from './connection.ts'
import { readServerVersion } from './server-facts.ts'

export interface StartedBackup {
  /** Where recovery of this backup must begin: the redo point of the start checkpoint. */
  readonly startLsn: Lsn
  readonly timeline: TimelineId
  /** The server's clock after the start checkpoint, as timestamptz prints it in UTC (R19). */
  readonly startTime: string
  readonly version: PostgresVersion
  /** True when the backup is taken from a standby. */
  readonly isInRecovery: boolean
}

export interface StoppedBackup {
  /** Recovery is consistent from here on; the last segment needed holds the byte before it (R18). */
  readonly stopLsn: Lsn
  /** The server's clock when it stopped, in UTC (R19). */
  readonly stopTime: string
  /** The file backup_label, byte for byte (R4). */
  readonly labelFile: Buffer
  /** The file tablespace_map, byte for byte; empty when there are no tablespaces, then the file is not written. */
  readonly tablespaceMap: Buffer
}

/**
 * A backup that PostgreSQL knows of, from start to stop in one session (R1). Disposing it without `stop` ends the
 * session, and with it the server leaves backup mode; nothing of such a backup may be kept.
 */
export interface BackupSession extends AsyncDisposable {
  readonly started: StartedBackup
  /** Aborted with an OperationError `backup-interrupted` as soon as the backup cannot succeed any more. */
  readonly lost: AbortSignal
  /** Ends the backup without waiting for the archive: that is the caller's to check (R18). */
  stop(): Promise<StoppedBackup>
}

const keepaliveMs = 30_000

/** Enters backup mode. With `fast` the server makes its checkpoint at once, else spread over minutes. */
export async function startBackup(
  conninfo: Conninfo,
  { label, fast }: { readonly label: string; readonly fast: boolean },
  context: RunContext,
): Promise<BackupSession> {
  await using opened = new AsyncDisposableStack()
  const session = opened.use(await connect(conninfo, context))
  const version = await readServerVersion(session)
  const dialect = version.major < 15 ? dialect14 : dialect15
  const [start] = await session.query<{ lsn: string }>(dialect.start, [label, String(fast)], {
    doing: 'starting a backup',
    grant: `EXECUTE ON FUNCTION pg_catalog.${dialect.startFunction}`,
  })
  const [row] = await session.query<StartRow>(startFacts, [], { doing: 'reading the start of the backup' })
  assert(row !== undefined && start !== undefined, 'a query without FROM always gives one row')
  const started: StartedBackup = {
    startLsn: parseLsn(start.lsn),
    timeline: parseTimelineId(row.timeline),
    startTime: row.time,
    version,
    isInRecovery: row.in_recovery === 't',
  }
  const backup = new RunningBackup(session, { started, dialect }, context)
  backup.keepAlive()
  opened.move()
  return backup
}

interface StartRow {
  timeline: string
  time: string
  in_recovery: string
}

/** The start checkpoint has just been written to the control file, so its timeline is the backup's. */
const startFacts = `
  select timeline_id as timeline, pg_catalog.clock_timestamp() as time, pg_catalog.pg_is_in_recovery() as in_recovery
    from pg_catalog.pg_control_checkpoint()`

/**
 * Both texts as hex of the database's own encoding: what goes through text may be converted on its way, and these two
 * must be written byte for byte (R4).
 */
const stoppedColumns = ['labelfile', 'spcmapfile']
  .map(
    (column) =>
      `pg_catalog.encode(pg_catalog.convert_to(${column}, pg_catalog.getdatabaseencoding()), 'hex') as ${column}`,
  )
  .join(', ')

/** Up to 14 the non-exclusive mode was a parameter; from 15 on there is no other and the functions have new names. */
const dialect14 = {
  startFunction: 'pg_start_backup(text, boolean, boolean)',
  start: 'select pg_catalog.pg_start_backup($1, $2::pg_catalog.bool, false) as lsn',
  stopFunction: 'pg_stop_backup(boolean, boolean)',
  stop: `select lsn, ${stoppedColumns}, pg_catalog.clock_timestamp() as time from pg_catalog.pg_stop_backup(false, false)`,
}
const dialect15 = {
  startFunction: 'pg_backup_start(text, boolean)',
  start: 'select pg_catalog.pg_backup_start($1, $2::pg_catalog.bool) as lsn',
  stopFunction: 'pg_backup_stop(boolean)',
  stop: `select lsn, ${stoppedColumns}, pg_catalog.clock_timestamp() as time from pg_catalog.pg_backup_stop(false)`,
}

interface StopRow {
  lsn: string
  labelfile: string
  spcmapfile: string
  time: string
}

interface Parts {
  readonly started: StartedBackup
  readonly dialect: typeof dialect14
}

class RunningBackup implements BackupSession {
  readonly started: StartedBackup
  readonly #session: PostgresSession
  readonly #parts: Parts
  readonly #context: RunContext
  readonly #lost = new AbortController()
  readonly #finished = new AbortController()
  #keepingAlive: Promise<void> = Promise.resolve()
  #isStopped = false

  constructor(session: PostgresSession, parts: Parts, context: RunContext) {
    this.started = parts.started
    this.#session = session
    this.#parts = parts
    this.#context = context
    const lose = (): void => {
      this.#lose(session.lost.reason)
    }
    if (session.lost.aborted) lose()
    else session.lost.addEventListener('abort', lose, { once: true })
  }

  get lost(): AbortSignal {
    return this.#lost.signal
  }

  /** Until the backup ends: firewalls forget a silent connection, and a promoted standby spoils the backup (R58). */
  keepAlive(): void {
    this.#keepingAlive = this.#probeForEver().catch((error: unknown) => {
      if (!this.#finished.signal.aborted) this.#lose(error)
    })
  }

  async stop(): Promise<StoppedBackup> {
    this.#context.signal.throwIfAborted()
    this.lost.throwIfAborted()
    assert(!this.#finished.signal.aborted, 'a backup is stopped once')
    this.#finished.abort()
    await this.#keepingAlive
    const row = await this.#runStop()
    const labelFile = Buffer.from(row.labelfile, 'hex')
    this.#checkTimeline(labelFile)
    this.#isStopped = true
    return {
      stopLsn: parseLsn(row.lsn),
      stopTime: row.time,
      labelFile,
      tablespaceMap: Buffer.from(row.spcmapfile, 'hex'),
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#finished.abort()
    await this.#session[Symbol.asyncDispose]()
    await this.#keepingAlive
  }

  async #runStop(): Promise<StopRow> {
    const { stop, stopFunction } = this.#parts.dialect
    try {
      const [row] = await this.#session.query<StopRow>(stop, [], {
        doing: 'stopping the backup',
        grant: `EXECUTE ON FUNCTION pg_catalog.${stopFunction}`,
      })
      assert(row !== undefined, 'stopping a backup gives one row')
      return row
    } catch (error) {
      this.#context.signal.throwIfAborted()
      this.lost.throwIfAborted()
      throw error
    }
  }

  async #probeForEver(): Promise<void> {
    const { clock, signal } = this.#context
    const ends = AbortSignal.any([signal, this.#finished.signal, this.lost])
    for (;;) {
      await clock.sleep(keepaliveMs, ends)
      const answered = new AbortController()
      const silence = this.#cutWhenSilent(AbortSignal.any([ends, answered.signal]))
      try {
        await this.#probe()
      } finally {
        answered.abort()
        await silence
      }
    }
  }

  async #cutWhenSilent(answeredOrOver: AbortSignal): Promise<void> {
    try {
      await this.#context.clock.sleep(keepaliveMs, answeredOrOver)
    } catch {
      return // answered, or over
    }
    this.#session.destroy(new Error(`the server did not answer for ${keepaliveMs / 1000} s`))
  }

  async #probe(): Promise<void> {
    const [row] = await this.#session.query<{ in_recovery: string }>(
      'select pg_catalog.pg_is_in_recovery() as in_recovery',
      [],
      { doing: 'keeping the backup session alive' },
    )
    if ((row?.in_recovery === 't') !== this.started.isInRecovery) {
      this.#lose(new Error('the standby was promoted during the backup'))
    }
  }

  /** The label has the last word on the timeline. */
  #checkTimeline(labelFile: Buffer): void {
    const found = /^START TIMELINE: (\d+)$/m.exec(labelFile.toString('latin1'))?.[1]
    if (found === String(this.started.timeline)) return
    throw new OperationError(
      'backup-interrupted',
      `backup started on timeline ${this.started.timeline}, but its label says ${found ?? 'nothing'}`,
      { hint: 'The server was promoted meanwhile; take the backup again.' },
    )
  }

  #lose(cause: unknown): void {
    if (this.lost.aborted || this.#isStopped) return
    const why = cause instanceof Error ? cause.message : String(cause)
    this.#lost.abort(
      new OperationError('backup-interrupted', `the backup session ended before the backup: ${why}`, {
        cause,
        hint: 'Nothing of this backup can be restored; see the server log for the reason, then take it again.',
      }),
    )
  }
}
