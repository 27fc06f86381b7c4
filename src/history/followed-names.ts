import type { NamedDatabase, NamedRelation } from '../repository/name-list.ts'
import { relationKey, type RelationId } from '../wal/row-counts.ts'
import type { AffectedFiles } from './judge-transaction.ts'
import type { KnownNames, WantedName } from './name-relations.ts'
import { momentOf, type PastTransaction } from './past-transaction.ts'

/** A table has a file, and its TOAST table one. */
const mostTableFiles = 2
/** pg_class.relkind of an index: here for all that belongs to a table. */
const indexKind = 'i'

/**
 * Names that go on when a table gets new files. Lists of names are made with backups; a table that was truncated or
 * rewritten since has files that none of them knows.
 */
export class FollowedNames {
  readonly #lists: KnownNames
  /** What relations were called that were made later: `findBirthNames`. */
  readonly #births: ReadonlyMap<string, NamedRelation>
  readonly #followed = new Map<string, NamedRelation>()

  constructor(lists: KnownNames, births: ReadonlyMap<string, NamedRelation>) {
    this.#lists = lists
    this.#births = births
  }

  /** Transactions must come in the order of their ends. */
  follow(transaction: PastTransaction, files: readonly AffectedFiles[]): void {
    const replaced = files.filter(({ effect }) => effect === 'truncated' || effect === 'rewritten')
    const at = momentOf(transaction)
    const known = replaced.flatMap((file) => this.relation({ ...file, at }) ?? [])
    const [table, ...others] = known.filter(({ kind }) => 'rm'.includes(kind))
    // Of several tables nobody can tell which file is whose.
    if (others.length > 0) return
    const made = madeFilesOf(transaction, table ?? known[0])
    const first = table && firstOf(made)
    for (const file of made) {
      const owner = table ?? known[0]
      if (owner === undefined) return
      const kind = file === first ? owner.kind : indexKind
      this.#followed.set(relationKey(file), { ...owner, ...file, kind })
    }
  }

  relation(wanted: WantedName): NamedRelation | undefined {
    const key = relationKey(wanted)
    return this.#lists.relation(wanted) ?? this.#followed.get(key) ?? this.#births.get(key)
  }

  database(wanted: Pick<WantedName, 'database' | 'at'>): NamedDatabase | undefined {
    return this.#lists.database(wanted)
  }

  whyUnknown(wanted: WantedName): string {
    return this.#lists.whyUnknown(wanted)
  }
}

/** What a transaction made in the database of a relation; nothing when it made more tables than one. */
function madeFilesOf(
  { madeFiles }: PastTransaction,
  owner: NamedRelation | undefined,
): readonly RelationId[] {
  const made = madeFiles.filter(({ database }) => database === owner?.database)
  if (made.filter(({ hasPages, hasRows }) => !hasPages || hasRows).length > mostTableFiles) return []
  return made.map(({ tablespace, database, relation }) => ({ tablespace, database, relation }))
}

/** The file of a table is made before those of its TOAST table and its indexes, so that it has the least number. */
const firstOf = (made: readonly RelationId[]): RelationId | undefined =>
  made.toSorted((one, other) => one.relation - other.relation)[0]
