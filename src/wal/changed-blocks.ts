import { ChangedFork } from './changed-fork.ts'

export { ChangedFork }

/** Names one fork of a relation as the WAL does: RelFileLocator in storage/relfilelocator.h. */
export interface ForkId {
  readonly tablespace: number
  readonly database: number
  readonly relation: number
  /** ForkNumber in common/relpath.h: 0 main, 1 fsm, 2 vm, 3 init. */
  readonly fork: number
}

/** A fork in the list of those whose relation has the same number. */
interface Entry {
  readonly id: ForkId
  readonly fork: ChangedFork
  readonly next: Entry | undefined
}

/** The blocks that some WAL changes, by fork of a relation, and the databases that it changes as a whole. */
export class ChangedBlocks {
  /** By relation: few relations share their number with one of another database or tablespace. */
  readonly #entries = new Map<number, Entry>()
  readonly #databases = new Map<number, Set<number>>()

  /** Made when it is not there. Stays valid, so it may be kept and added to. */
  forkOf(id: ForkId): ChangedFork {
    const known = this.find(id)
    if (known !== undefined) return known
    const { tablespace, database, relation, fork } = id
    const entry = {
      id: { tablespace, database, relation, fork },
      fork: new ChangedFork(),
      next: this.#entries.get(relation),
    }
    this.#entries.set(relation, entry)
    return entry.fork
  }

  find({ tablespace, database, relation, fork }: ForkId): ChangedFork | undefined {
    for (let entry = this.#entries.get(relation); entry !== undefined; entry = entry.next) {
      const { id } = entry
      if (id.fork === fork && id.database === database && id.tablespace === tablespace) return entry.fork
    }
    return undefined
  }

  /** From now on everything of this database in this tablespace counts as changed: it was created, copied or dropped. */
  addDatabase(tablespace: number, database: number): void {
    const databases = this.#databases.get(tablespace)
    if (databases === undefined) this.#databases.set(tablespace, new Set([database]))
    else databases.add(database)
  }

  hasDatabase(tablespace: number, database: number): boolean {
    return this.#databases.get(tablespace)?.has(database) ?? false
  }

  /** Takes over all that the other one names. */
  addAll(other: ChangedBlocks): void {
    for (const [id, fork] of other.forks()) this.forkOf(id).addAll(fork)
    for (const [tablespace, database] of other.databases()) this.addDatabase(tablespace, database)
  }

  /** In no particular order. */
  *forks(): Generator<[ForkId, ChangedFork], void, undefined> {
    for (const first of this.#entries.values()) {
      for (let entry: Entry | undefined = first; entry !== undefined; entry = entry.next) {
        yield [entry.id, entry.fork]
      }
    }
  }

  /** Tablespace and database, in no particular order. */
  *databases(): Generator<[number, number], void, undefined> {
    for (const [tablespace, databases] of this.#databases) {
      for (const database of databases) yield [tablespace, database]
    }
  }
}
