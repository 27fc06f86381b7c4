import assert from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import type { ArchivePlace } from '../../src/archive/archive-place.ts'
import { systemClock } from '../../src/platform/system-clock.ts'
import type { ListedBackup } from '../../src/repository/backup-entry.ts'
import { changeCatalogue, readCatalogue } from '../../src/repository/catalogue.ts'
import { MemoryStore } from '../../src/storage/memory/memory-store.ts'
import { runTransfer, type TransferRequest, type TransferResult } from '../../src/transfer/run-transfer.ts'
import { leastFiles, storeSyntheticBackup, type SyntheticBackup } from '../corruption/synthetic-backup.ts'
import { digestTree } from '../faults/digest-tree.ts'
import {
  buildSegment,
  createPlace,
  recordingContext,
  temporaryFolder,
  testSystemIdentifier,
} from './archive-fixture.ts'
import { archiveContent, contentsOf } from './archived-content.ts'
import { FaultyStore } from './faulty-store.ts'
import { unpackBackup } from './unpack-backup.ts'

export const olderBackup = '20260219-153000F'
export const newerBackup = '20260220-153000F'
/** Of the archive: the first one is the older backup's own, the second the newer one's. */
export const archivedSegments = [3n, 4n, 5n, 6n].map((number) => `00000001000000000000000${number}`)
const mebibyte = 1024 * 1024

/** In memory, and breaks its promises on demand. */
export const memoryStore = (): FaultyStore => new FaultyStore(new MemoryStore('x', systemClock))

interface SourceOptions {
  readonly isSealed?: boolean | undefined
  readonly store?: FaultyStore | undefined
  readonly without?: string | undefined
  /** Default: both. */
  readonly labels?: readonly string[]
}

/** Two backups, each within a segment, and WAL from the first one on. */
export async function createSource({
  isSealed = true,
  store,
  without,
  labels = [olderBackup, newerBackup],
}: SourceOptions = {}): Promise<ArchivePlace> {
  const place = await createPlace({ isSealed, ...(store !== undefined && { store }) })
  for (const name of archivedSegments)
    if (name !== without) await archiveContent(place, name, buildSegment(name))
  for (const [index, label] of labels.entries()) {
    await storeSyntheticBackup(place, backupOf(label, 3 + index))
  }
  return place
}

/** A backup that starts and stops in the segment of this number. */
export function backupOf(label: string, segment: number): SyntheticBackup {
  const { files, entries } = leastFiles(testSystemIdentifier)
  const own = { path: 'own', content: Buffer.from(`of backup ${label}`) }
  return { label, segment, segmentBytes: mebibyte, files: [...files, own], entries }
}

/** Changes the catalogue. */
export function decide(
  { repository, cluster }: ArchivePlace,
  change: Parameters<typeof changeCatalogue>[1]['change'],
): Promise<unknown> {
  const request = { clusterId: cluster.id, change, confirm: () => Promise.resolve() }
  return changeCatalogue(repository, request, recordingContext())
}

/** Copies what the other repository lacks. */
export function transfer(
  from: ArchivePlace,
  to: ArchivePlace,
  request: Partial<TransferRequest> = {},
): Promise<TransferResult> {
  return runTransfer(
    { wanted: [], damaged: [], isDryRun: false, ...request },
    { from, to },
    recordingContext(),
  )
}

export async function listed({ repository, cluster }: ArchivePlace): Promise<readonly ListedBackup[]> {
  return (await readCatalogue(repository, cluster.id, recordingContext())).backups
}

/** Both list the same backups, with the same files, and have each segment once. */
export async function assertSame(from: ArchivePlace, to: ArchivePlace): Promise<void> {
  const [here, there] = [await listed(from), await listed(to)]
  assert.deepEqual(
    there.map(({ label }) => label),
    here.map(({ label }) => label),
  )
  for (const [index, backup] of here.entries()) {
    await using folders = await temporaryFolder()
    const other = there[index] ?? assert.fail()
    for (const name of ['here', 'there']) await mkdir(`${folders.path}/${name}`)
    await unpackBackup(from, backup, `${folders.path}/here`)
    await unpackBackup(to, other, `${folders.path}/there`)
    assert.deepEqual(await digestTree(`${folders.path}/there`), await digestTree(`${folders.path}/here`))
  }
  for (const name of archivedSegments) assert.equal((await contentsOf(to, name)).length, 1)
}

/** Damages a stored object. */
export async function flipByte({ repository }: ArchivePlace, key: string): Promise<void> {
  const bytes = (await repository.store.get(key)) ?? assert.fail()
  bytes[100] = (bytes[100] ?? 0) ^ 1
  await repository.store.delete([key])
  await repository.store.putIfAbsent(key, bytes)
}
