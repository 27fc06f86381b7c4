/** How many of a cluster's repositories must hold a WAL file before PostgreSQL is told that it is archived. */
export type ArchivePolicy = 'all' | 'quorum' | 'one'

/** That number, of `count` repositories; a quorum is more than half of them. */
export function copiesRequired(policy: ArchivePolicy, count: number): number {
  switch (policy) {
    case 'all':
      return count
    case 'quorum':
      return Math.floor(count / 2) + 1
    case 'one':
      return Math.min(1, count)
  }
}
