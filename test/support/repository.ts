import { parseSystemIdentifier } from '../../src/domain/system-identifier.ts'
import type { RunContext, RunEvent } from '../../src/domain/run-context.ts'
import { toWalSegmentSize } from '../../src/domain/wal-segment.ts'
import { ensureCluster, type ClusterRecord, type NewCluster } from '../../src/repository/cluster-record.ts'
import type { Unlocker } from '../../src/repository/key-slot.ts'
import { createRepository, type Repository } from '../../src/repository/open-repository.ts'
import { systemClock } from '../../src/platform/system-clock.ts'
import { MemoryStore } from '../../src/storage/memory/memory-store.ts'
import type { ObjectStore } from '../../src/storage/object-store.ts'

/** A context of its own for a test; `events` holds what was reported. */
export function testContext(changes: Partial<RunContext> = {}): RunContext & { readonly events: RunEvent[] } {
  const events: RunEvent[] = []
  return {
    signal: new AbortController().signal,
    clock: systemClock,
    report: (event) => events.push(event),
    events,
    ...changes,
  }
}

export const testKeyFile: Unlocker = { kind: 'key-file', secret: Buffer.from('0123456789abcdef'.repeat(4)) }

/** A sealed repository in memory, or in the given store. */
export function testRepository(
  context: RunContext,
  { store = new MemoryStore('test', context.clock), ...access }: Partial<TestRepositoryOptions> = {},
): Promise<Repository> {
  return createRepository(store, { unlocker: testKeyFile, ...access }, context)
}

interface TestRepositoryOptions {
  readonly store: ObjectStore
  readonly unlocker: Unlocker | undefined
}

export const testCluster: NewCluster = {
  name: 'main',
  systemIdentifier: parseSystemIdentifier('7400000000000000001'),
  major: 18,
  walSegmentSize: toWalSegmentSize(16 * 1024 * 1024),
}

/** The record of `testCluster` in a repository. */
export function testClusterRecord(repository: Repository, context: RunContext): Promise<ClusterRecord> {
  return ensureCluster(repository, testCluster, context)
}
