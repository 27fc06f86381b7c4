import type { ArchivePlace } from '../../src/archive/archive-place.ts'
import type { RunContext } from '../../src/domain/run-context.ts'
import type { BackupLabel } from '../../src/domain/backup-label.ts'
import { createPlace } from '../support/archive-fixture.ts'
import type { Random } from '../support/seeded-random.ts'
import { ProcessStore, type SharedStore } from './process-store.ts'
import { MemoryStore } from '../../src/storage/memory/memory-store.ts'
import type { SimulatedProcess, VirtualWorld } from './virtual-world.ts'

/** What the server and the operator know: the reference that the repository is compared with. */
interface Known {
  /** Segments from 1 to this one have been filled; the next is being written. */
  filledSegments: number
  /** Segments that archive-push said are archived. */
  readonly archived: Set<number>
  /** Backups that `backup` said are done. */
  readonly backups: Set<BackupLabel>
  /** Backups and dumps that somebody tried to remove: they may be listed or not. */
  readonly doomed: Set<BackupLabel>
  /** Dumps that `dump` said are done. */
  readonly dumps: Set<BackupLabel>
  /** Backups and dumps that `pin` said are pinned. Nobody unpins. */
  readonly pinned: Set<BackupLabel>
}

export interface SimulatedCluster {
  readonly world: VirtualWorld
  readonly random: Random
  readonly known: Known
  readonly shared: SharedStore
  /** As nobody sees it: without waiting and without faults. */
  readonly truth: ArchivePlace
  /** Restores that found something missing although they held their lease, and the like. */
  readonly complaints: string[]
}

/** What one process works with. */
export interface Tools {
  readonly process: SimulatedProcess
  readonly place: ArchivePlace
  readonly context: RunContext
}

export async function createSimulatedCluster(
  world: VirtualWorld,
  { lagMs, onChange }: Pick<SharedStore, 'lagMs' | 'onChange'>,
): Promise<SimulatedCluster> {
  const inner = new MemoryStore('simulated', { now: () => world.now })
  return {
    world,
    random: world.random,
    known: {
      filledSegments: 0,
      archived: new Set(),
      backups: new Set(),
      dumps: new Set(),
      doomed: new Set(),
      pinned: new Set(),
    },
    shared: { inner, lagMs, storedAtMs: new Map(), deleted: new Map(), onChange },
    truth: await createPlace({ store: inner, isSealed: false }),
    complaints: [],
  }
}

/** Starts a process of its own and gives what it sees of the world. */
export function toolsFor({ world, shared, truth }: SimulatedCluster, name: string): Tools {
  // Most clocks differ by little, some are an hour off: no lease may depend on it.
  const skewMs = world.random(4) === 0 ? world.random(7_200_000) - 3_600_000 : world.random(120_000) - 60_000
  const process = world.spawn(name, skewMs)
  const store = new ProcessStore(world, process, shared)
  return {
    process,
    place: { ...truth, repository: { ...truth.repository, store } },
    context: {
      signal: new AbortController().signal,
      clock: world.clockOf(process),
      report: () => {},
    },
  }
}
