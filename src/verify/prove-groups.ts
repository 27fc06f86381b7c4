import type { ArchivePlace } from '../archive/archive-place.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { NeededPacks } from './needed-packs.ts'
import { proveDump } from './prove-dump.ts'
import { proveHistories } from './prove-histories.ts'
import { proveIndexes } from './prove-indexes.ts'
import { provePacks, type GroupResult, type ProofTools } from './prove-packs.ts'
import { proveWal, type ArchiveFacts } from './prove-wal.ts'
import type { Group } from './verify-groups.ts'
import { VerifyLane } from './verify-lane.ts'

export interface GroupProof {
  readonly group: Group
  readonly startedAtMs: number
  readonly result: GroupResult
}

interface Proving {
  /** In the order in which they are begun. */
  readonly groups: readonly Group[]
  readonly needed: NeededPacks
  readonly archive: ArchiveFacts
  /** How many groups are worked on at once, each by a worker of its own. */
  readonly lanes: number
  readonly onProof: (proof: GroupProof) => Promise<void>
}

/** Proves the groups. After a failure none is begun any more; it is thrown when those that were begun have ended. */
export async function proveGroups(proving: Proving, place: ArchivePlace, context: RunContext): Promise<void> {
  const { cluster, repository } = place
  const tasks = proving.groups.values()
  const { id, systemIdentifier, major, walSegmentSize } = cluster
  const setup = {
    keys: repository.keys.sealing,
    namesKey: repository.keys.namesKey,
    blockHashSeed: repository.keys.blockHashSeed,
    cluster: { id, systemIdentifier, major, walSegmentSize },
  }
  const failures: unknown[] = []
  const work = async (): Promise<void> => {
    await using lane = new VerifyLane(setup, context)
    for (const group of tasks) {
      if (failures.length > 0) return
      context.signal.throwIfAborted()
      const startedAtMs = context.clock.now()
      const result = await proveGroup({ group, proving }, { place, lane }, context)
      await proving.onProof({ group, startedAtMs, result })
    }
  }
  const lanes = Array.from({ length: Math.min(proving.lanes, proving.groups.length) }, async () => {
    try {
      await work()
    } catch (error) {
      failures.push(error)
    }
  })
  await Promise.all(lanes)
  if (failures.length > 0) throw failures[0]
}

function proveGroup(
  { group, proving }: { readonly group: Group; readonly proving: Proving },
  tools: ProofTools,
  context: RunContext,
): Promise<GroupResult> {
  switch (group.kind) {
    case 'packs':
      return provePacks({ group, needed: proving.needed }, tools, context)
    case 'wal':
      return proveWal({ group, archive: proving.archive }, tools, context)
    case 'histories':
      return proveHistories(tools.place, context)
    case 'indexes':
      return proveIndexes(group, tools.place, context)
    case 'dumps':
      return proveDump(group, tools, context)
  }
}
