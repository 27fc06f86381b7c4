import { join } from 'node:path'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import type { ArchivePlace } from '../../src/archive/archive-place.ts'
import type { RunContext, RunEvent } from '../../src/domain/run-context.ts'
import { parseSystemIdentifier } from '../../src/domain/system-identifier.ts'
import { parseSegmentName, toWalSegmentSize } from '../../src/domain/wal-segment.ts'
import { systemClock } from '../../src/platform/system-clock.ts'
import { ensureCluster } from '../../src/repository/cluster-record.ts'
import { createRepository } from '../../src/repository/open-repository.ts'
import { MemoryStore } from '../../src/storage/memory/memory-store.ts'
import type { ObjectStore } from '../../src/storage/object-store.ts'
import { magicOfMajor } from '../../src/wal/page-header.ts'

const mebibyte = 1024 * 1024
export const testSystemIdentifier = '7654321098765432109'

/** A context that remembers what was reported. */
export function recordingContext(signal: AbortSignal = new AbortController().signal): RunContext & {
  readonly events: RunEvent[]
} {
  const events: RunEvent[] = []
  return { signal, clock: systemClock, report: (event) => events.push(event), events }
}

interface PlaceOptions {
  readonly store?: ObjectStore
  readonly segmentMiB?: number
  readonly isSealed?: boolean
}

/** A new repository in memory, with one cluster of PostgreSQL 16. */
export async function createPlace(options: PlaceOptions = {}): Promise<ArchivePlace> {
  const { store = new MemoryStore('archive', systemClock), segmentMiB = 1, isSealed = true } = options
  const context = recordingContext()
  const unlocker = isSealed ? ({ kind: 'key-file', secret: Buffer.alloc(32, 7) } as const) : undefined
  const repository = await createRepository(store, { unlocker }, context)
  const cluster = await ensureCluster(
    repository,
    {
      name: 'main',
      systemIdentifier: parseSystemIdentifier(testSystemIdentifier),
      major: 16,
      walSegmentSize: toWalSegmentSize(segmentMiB * mebibyte),
    },
    context,
  )
  return { repository, cluster }
}

interface SegmentShape {
  readonly major?: 14 | 15 | 16 | 17 | 18
  readonly segmentMiB?: number
  readonly systemIdentifier?: string
  /** The timeline of the first page; the name's own by default. */
  readonly timeline?: number
  /** Told apart by this. */
  readonly fill?: number
}

/** A segment that passes for the one of this name: a page header and filling, no records. */
export function buildSegment(name: string, shape: SegmentShape = {}): Buffer {
  const { major = 16, segmentMiB = 1, systemIdentifier = testSystemIdentifier, fill = 1 } = shape
  const size = toWalSegmentSize(segmentMiB * mebibyte)
  const { timeline, startLsn } = parseSegmentName(name, size)
  const bytes = Buffer.alloc(size, fill)
  for (let offset = 64; offset < size; offset += 64) bytes.writeUInt32LE(offset, offset)
  bytes.fill(0, 0, 40)
  bytes.writeUInt16LE(magicOfMajor(major), 0)
  bytes.writeUInt16LE(2, 2)
  bytes.writeUInt32LE(shape.timeline ?? timeline, 4)
  bytes.writeBigUInt64LE(startLsn, 8)
  bytes.writeBigUInt64LE(BigInt(systemIdentifier), 24)
  bytes.writeUInt32LE(size, 32)
  bytes.writeUInt32LE(8192, 36)
  return bytes
}

/** A folder that goes away when it is disposed. */
export async function temporaryFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'hf-archive-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}
