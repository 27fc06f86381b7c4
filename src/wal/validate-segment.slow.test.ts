import assert from 'node:assert/strict'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { startServer, type TestServer } from '../../test/support/postgres-server.ts'
import { createScratch, type Scratch } from '../../test/support/scratch.ts'
import { supportedMajors, type Major } from '../../test/support/server-binaries.ts'
import { waitUntil } from '../../test/support/wait.ts'
import { formatTimelineHex, toTimelineId, type TimelineId } from '../domain/timeline.ts'
import { historyFileName, parseArchiveFileName } from '../domain/archive-file-name.ts'
import { parseTimelineHistory, type TimelineHistory } from '../domain/timeline-history.ts'
import { parseSegmentName, toWalSegmentSize, type WalSegment } from '../domain/wal-segment.ts'
import { summarizeSegments } from './segment-summary.ts'
import { readSegmentIdentity, validateSegment, type SegmentOrigin } from './validate-segment.ts'

const segmentSize = toWalSegmentSize(1024 * 1024)

for (const major of supportedMajors) {
  describe(`validateSegment, on what PostgreSQL ${major} archives,`, () => {
    test('accepts timelines that begin in the middle of a segment, whose first page is an ancestor’s (R25)', async () => {
      await using scratch = await createScratch(`fork${major}`)
      const { server, archive } = await startArchivingServer(major, scratch)
      await using _ = server
      await server.query('create table t as select generate_series(1, 20000) i')
      const systemIdentifier = await systemIdentifierOf(server)

      // No clean shutdown in between, which would switch to the next segment.
      for (let promotions = 0; promotions < 2; promotions += 1) {
        await untilArchived(server)
        await server.stop('immediate')
        await promote(server)
        await server.query('insert into t values (1)')
      }
      await untilArchived(server)
      await server.stop()
      const files = await readArchive(archive)

      assertAllValid(files, { major, systemIdentifier })
      const begun = files.filter(
        ({ segment, isPartial, origin }) => !isPartial && origin.timeline !== segment.timeline,
      )
      assert.deepEqual(
        begun.map(({ segment, origin }) => [segment.timeline, origin.timeline]),
        [[3, 1]],
      )
      // PostgreSQL archives the abandoned segments of both older timelines as .partial; the second is itself a copy.
      assert.deepEqual(
        files
          .filter(({ isPartial }) => isPartial)
          .map(({ segment, origin }) => [segment.timeline, origin.timeline]),
        [
          [1, 1],
          [2, 1],
        ],
      )
      await assertReadableAcross(files)
    })

    test('accepts a timeline that begins with a segment', async () => {
      await using scratch = await createScratch(`fork${major}`)
      const { server, archive } = await startArchivingServer(major, scratch)
      await using _ = server
      await server.query('create table t as select generate_series(1, 20000) i')
      const systemIdentifier = await systemIdentifierOf(server)
      await server.query('select pg_switch_wal()')
      await untilArchived(server)
      await server.stop('immediate')
      await promote(server)
      await untilArchived(server)
      await server.stop()
      const files = await readArchive(archive)

      assertAllValid(files, { major, systemIdentifier })
      const first = files.find(({ segment }) => segment.timeline === 2)
      assert.equal(first?.origin.timeline, 2)
      assert.equal(first.segment.startLsn, first.history.ancestors[0]?.endLsn)
      await assertReadableAcross(files)
    })
  })
}

interface ArchivedFile {
  readonly name: string
  readonly isPartial: boolean
  readonly bytes: Uint8Array
  readonly segment: WalSegment
  readonly origin: SegmentOrigin
  readonly history: TimelineHistory
}

async function startArchivingServer(
  major: Major,
  scratch: Scratch,
): Promise<{ server: TestServer; archive: string }> {
  const archive = await scratch.makeFolder('archive')
  const server = await startServer({
    major,
    scratch,
    walSegmentSizeMb: 1,
    settings: {
      archive_mode: true,
      // In two steps: an immediate shutdown kills the command, too.
      archive_command: `cp %p ${archive}.new && mv ${archive}.new ${archive}/%f`,
      restore_command: `cp ${archive}/%f %p`,
    },
  })
  return { server, archive }
}

/**
 * An archive recovery in place removes segments of the old timeline although they still wait to be archived. After a
 * promotion it says that there is an archiver: a server that is stopped before it has started one archives nothing more.
 */
async function untilArchived(server: TestServer): Promise<void> {
  const folder = join(server.dataDirectory, 'pg_wal', 'archive_status')
  await waitUntil('all segments to be archived', async () =>
    (await readdir(folder)).every((name) => !name.endsWith('.ready')),
  )
}

/** An archive recovery to the end of the WAL, in place. */
async function promote(server: TestServer): Promise<void> {
  await writeFile(join(server.dataDirectory, 'recovery.signal'), '')
  await server.start()
  await waitUntil('the promotion', async () => {
    const [row] = await server.query<{ inRecovery: boolean }>('select pg_is_in_recovery() as "inRecovery"')
    return row?.inRecovery === false
  })
}

async function systemIdentifierOf(server: TestServer): Promise<bigint> {
  const [row] = await server.query<{ id: string }>(
    'select system_identifier::text as id from pg_control_system()',
  )
  return BigInt(row?.id ?? 0)
}

async function readArchive(folder: string): Promise<ArchivedFile[]> {
  const names = (await readdir(folder)).toSorted()
  const files: ArchivedFile[] = []
  for (const name of names) {
    const parsed = parseArchiveFileName(name)
    if (parsed.kind !== 'segment' && parsed.kind !== 'partial') continue
    const bytes = await readFile(join(folder, name))
    const origin = readSegmentIdentity(bytes)
    assert.ok(origin, `${name} has no identity`)
    files.push({
      name,
      bytes,
      origin,
      isPartial: parsed.kind === 'partial',
      segment: parseSegmentName(name.slice(0, 24), segmentSize),
      history: await readHistory(folder, parsed.timeline),
    })
  }
  return files
}

async function readHistory(folder: string, timeline: TimelineId): Promise<TimelineHistory> {
  if (timeline === 1) return { timeline, ancestors: [] }
  return parseTimelineHistory(timeline, await readFile(join(folder, historyFileName(timeline)), 'utf8'))
}

/** Under its own name with and without its history; under its neighbour's and a later timeline's it must be refused. */
function assertAllValid(
  files: readonly ArchivedFile[],
  { major, systemIdentifier }: { major: Major; systemIdentifier: bigint },
): void {
  assert.ok(files.length >= 2)
  for (const { name, bytes, origin, segment, history } of files) {
    const file = { firstPage: bytes.subarray(0, 8192), sizeBytes: bytes.length }
    const expected = { name, segmentSize, systemIdentifier, major, history }
    const valid = { kind: 'valid' }

    assert.deepEqual([name, validateSegment(file, expected)], [name, valid])
    assert.deepEqual([name, validateSegment(file, { ...expected, history: undefined })], [name, valid])
    assert.deepEqual(
      { ...origin, timeline: 0 },
      { major, systemIdentifier, segmentSize, timeline: 0, startLsn: segment.startLsn },
    )

    const later = toTimelineId(segment.timeline + 1)
    const ancestors = [
      ...history.ancestors,
      { timeline: segment.timeline, endLsn: segment.startLsn, reason: '' },
    ]
    const renamed = `${formatTimelineHex(later)}${name.slice(8)}`
    const verdict = validateSegment(file, {
      ...expected,
      name: renamed,
      history: { timeline: later, ancestors },
    })
    assert.equal(verdict.kind, 'invalid')
  }
}

/** Along the youngest timeline: a record links to the one before it across every fork. */
async function assertReadableAcross(files: readonly ArchivedFile[]): Promise<void> {
  const youngest = files.at(-1)?.segment.timeline
  const path = new Map<bigint, ArchivedFile>()
  for (const file of files) if (!file.isPartial) path.set(file.segment.number, file)
  const segments = [...path.values()].toSorted((a, b) => Number(a.segment.number - b.segment.number))

  const summary = await summarizeSegments(
    segments.map(({ bytes, segment }) => ({ bytes, startLsn: segment.startLsn })),
  )

  const detail = `${summary.end.reason}: ${summary.end.detail}`
  assert.equal(summary.end.reason, 'segments-exhausted', detail)
  assert.equal(summary.lastRecordEndLsn, segments.at(-1)?.segment.endLsn)
  const begun = [...summary.recoveryEnds, ...summary.checkpoints].map(({ timeline }) => timeline)
  assert.equal(Math.max(...begun), youngest)
}
