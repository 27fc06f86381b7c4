import type { ClusterRecord } from '../repository/cluster-record.ts'
import type { Repository } from '../repository/open-repository.ts'

/** Other repositories of a cluster that WAL is read from. They are opened when they are wanted. */
export interface SpareArchives {
  /** What they are called in the configuration. */
  readonly repos: readonly string[]
  /** Whether WAL that the first one lacks is taken from them, too, and not only what is damaged there. */
  readonly areMixed: boolean
  /** Opens them, once; gives those that could be opened, and why others could not. */
  readonly open: () => Promise<{
    readonly places: readonly ArchivePlace[]
    readonly failures: readonly unknown[]
  }>
}

/** One cluster in one repository: where its WAL goes to and comes from. */
export interface ArchivePlace {
  readonly repository: Repository
  readonly cluster: ClusterRecord
  /** Undefined: what is not here, or damaged, is nowhere. */
  readonly spares?: SpareArchives | undefined
}

/** For messages: which cluster, and where. */
export function describePlace({ repository, cluster }: ArchivePlace): string {
  return `cluster "${cluster.name}" in "${repository.store.location}"`
}
