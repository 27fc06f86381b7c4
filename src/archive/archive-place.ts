import type { ClusterRecord } from '../repository/cluster-record.ts'
import type { Repository } from '../repository/open-repository.ts'

/** One cluster in one repository: where its WAL goes to and comes from. */
export interface ArchivePlace {
  readonly repository: Repository
  readonly cluster: ClusterRecord
}

/** For messages: which cluster, and where. */
export function describePlace({ repository, cluster }: ArchivePlace): string {
  return `cluster "${cluster.name}" in "${repository.store.location}"`
}
