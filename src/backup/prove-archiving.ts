import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { ArchivePlace } from '../archive/archive-place.ts'
import { waitForWal } from '../archive/wait-for-wal.ts'
import { toLsn, type Lsn } from '../domain/lsn.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { createRestorePoint, readArchiverStatus, switchWal } from '../postgres/archiver-status.ts'
import type { PostgresSession } from '../postgres/connection.ts'
import type { ServerFacts } from '../postgres/server-facts.ts'

/** Writes a restore point and ends the segment that holds it. Gives where the restore point ends. */
export async function writeTestSegment(session: PostgresSession, name: string): Promise<Lsn> {
  const lsn = await createRestorePoint(session, name)
  await switchWal(session)
  return lsn
}

interface TestSegment {
  /** From `writeTestSegment`. */
  readonly lsn: Lsn
  readonly facts: ServerFacts
  readonly session: PostgresSession
  readonly timeoutMs: number
}

/**
 * Waits until the test segment came back out of every repository, verified (R3). Nothing that the server counts is believed
 * (M12), but it is told when the time is up: throws `archive-timeout`. A server that goes away archives nothing more, so
 * then nothing is waited for.
 */
export async function awaitTestSegment(
  { lsn, facts, session, timeoutMs }: TestSegment,
  repositories: readonly ArchivePlace[],
  context: RunContext,
): Promise<void> {
  const range = { timeline: facts.timeline, fromLsn: toLsn(lsn - 1n), toLsn: lsn }
  const askServer = (): Promise<string> => describeArchiver(session, facts)
  const signal = AbortSignal.any([context.signal, session.lost])
  try {
    await waitForWal({ ...range, timeoutMs, askServer }, { repositories }, { ...context, signal })
  } catch (error) {
    if (session.lost.aborted && !context.signal.aborted) throw wentAway(session.lost.reason)
    throw error
  }
}

function wentAway(cause: unknown): OperationError {
  const why = cause instanceof Error ? cause.message : String(cause)
  return new OperationError(
    'server-unreachable',
    `waiting for the server to archive a test segment: its session was lost: ${why}`,
    { cause, hint: 'See the log of the server for the reason, then run the command again.' },
  )
}

/** What the server and its disk tell of its archiver, for the message of a failure. */
export async function describeArchiver(
  session: PostgresSession,
  { dataDirectory }: Pick<ServerFacts, 'dataDirectory'>,
): Promise<string> {
  const status = await readArchiverStatus(session)
  const failed =
    status.lastFailedName === undefined
      ? 'failures counted: none'
      : `failures counted: ${status.failedCount}, the last one of ${status.lastFailedName} at ${status.lastFailedTime}`
  const archived = status.lastArchivedName ?? 'nothing yet'
  const waiting = await countWaiting(dataDirectory)
  return `the server archived ${archived} last; ${failed}; files that wait: ${waiting}`
}

async function countWaiting(dataDirectory: string): Promise<string> {
  try {
    const names = await readdir(join(dataDirectory, 'pg_wal', 'archive_status'))
    return String(names.filter((name) => name.endsWith('.ready')).length)
  } catch {
    return 'unknown' // a detail of a failure that is reported anyway
  }
}
