import type { Lsn } from '../domain/lsn.ts'
import { relationKey, type RelationId } from '../wal/row-counts.ts'
import type { WalFacts } from '../wal/wal-facts.ts'
import type { MadeRelation } from './birth-names.ts'

/** A bound on memory: of more, the oldest are forgotten. */
const mostFiles = 200_000

/** Where in the WAL files of relations were made. */
export class MadeFiles {
  readonly #madeAt = new Map<string, Lsn>()

  add({ relationEvents }: WalFacts): void {
    for (const event of relationEvents) {
      if (event.kind !== 'created' || event.fork !== 0) continue
      const key = relationKey(event)
      // Numbers come again after four billion others; then the newest file is the one that is meant.
      this.#madeAt.delete(key)
      this.#madeAt.set(key, event.lsn)
      if (this.#madeAt.size > mostFiles) this.#forgetOldest()
    }
  }

  /** Those of these relations whose file was made within what was read, each once. */
  of(relations: readonly RelationId[]): readonly MadeRelation[] {
    const known = new Map(relations.map((relation) => [relationKey(relation), relation]))
    return [...known].flatMap(([key, { tablespace, database, relation }]) => {
      const madeLsn = this.#madeAt.get(key)
      return madeLsn === undefined ? [] : [{ tablespace, database, relation, madeLsn }]
    })
  }

  #forgetOldest(): void {
    const [oldest] = this.#madeAt.keys()
    if (oldest !== undefined) this.#madeAt.delete(oldest)
  }
}
