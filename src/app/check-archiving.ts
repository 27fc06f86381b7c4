import { awaitTestSegment, writeTestSegment } from '../backup/prove-archiving.ts'
import { formatDuration } from '../domain/duration.ts'
import { toLsn, type Lsn } from '../domain/lsn.ts'
import type { RunContext } from '../domain/run-context.ts'
import { segmentNumberAt, segmentNameOf } from '../domain/wal-segment.ts'
import type { PostgresSession } from '../postgres/connection.ts'
import type { ServerFacts } from '../postgres/server-facts.ts'
import { checkItem, type CheckItem } from './check-item.ts'
import type { ClusterRepository } from './open-cluster.ts'

export interface ArchivingCheck {
  readonly session: PostgresSession
  readonly facts: ServerFacts
  readonly repositories: readonly ClusterRepository[]
  readonly timeoutMs: number
}

/**
 * Proves archiving end to end: writes a restore point, ends the segment that holds it, and reads that segment back out of
 * every repository, verified (R3). Nothing that the server counts is believed (M12).
 */
export async function checkArchiving(
  { session, facts, repositories, timeoutMs }: ArchivingCheck,
  context: RunContext,
): Promise<readonly CheckItem[]> {
  const names = repositories.map(({ name }) => `archiving to repo ${name}`)
  if (facts.isInRecovery || facts.archiveMode === 'off') {
    const message = facts.isInRecovery
      ? 'not tried: the server is in recovery'
      : 'not tried: archive_mode is off'
    return names.map((name) => ({ name, state: 'skipped', message }))
  }
  const position: Lsn[] = []
  const written = await checkItem(
    'test segment',
    () => writeSegment(session, { facts, position }, context),
    context,
  )
  const [lsn] = position
  if (lsn === undefined) return [written, ...names.map((name) => skippedItem(name))]
  const items = repositories.map((place) =>
    checkItem(
      `archiving to repo ${place.name}`,
      async () => {
        const startedAt = context.clock.monotonic()
        await awaitTestSegment({ lsn, facts, session, timeoutMs }, [place], context)
        const took = formatDuration(context.clock.monotonic() - startedAt)
        return { state: 'ok', message: `the segment came back intact after ${took}` }
      },
      context,
    ),
  )
  return [written, ...(await Promise.all(items))]
}

function skippedItem(name: string): CheckItem {
  return { name, state: 'skipped', message: 'not tried: no test segment could be written' }
}

async function writeSegment(
  session: PostgresSession,
  { facts, position }: { facts: ServerFacts; position: Lsn[] },
  context: RunContext,
): Promise<Omit<CheckItem, 'name'>> {
  const time = new Date(context.clock.now()).toISOString()
  const lsn = await writeTestSegment(session, `holdfast check ${time}`)
  position.push(lsn)
  const size = facts.walSegmentSize
  return { state: 'ok', message: segmentNameOf(facts.timeline, segmentNumberAt(toLsn(lsn - 1n), size), size) }
}
