import type { RunContext } from '../domain/run-context.ts'
import type { DumpDrillReport } from '../drill/dump-drill-report.ts'
import { readNewestDumpDrill } from '../drill/dump-drill-store.ts'
import type { ListedDump } from '../repository/dump-entry.ts'
import type { DumpHead } from '../repository/dump-head.ts'
import { readDumpHead } from '../repository/dump-reader.ts'
import { judgeCatalogue, reportDoubts } from './guarded-catalogue.ts'
import { openCluster, type ClusterSelection } from './open-cluster.ts'
import { nowhereListed } from './pin-backup.ts'

/** One listed dump and what its head says of it. */
export interface DescribedDump {
  readonly cluster: string
  readonly repo: string
  readonly location: string
  readonly dump: ListedDump
  readonly head: DumpHead
  /** The last load of it that was tried. */
  readonly drill: DumpDrillReport | undefined
}

/** The dump with this label, out of the first repository that lists it. Throws `not-found`. */
export async function describeDump(
  selection: ClusterSelection & { readonly label: string },
  context: RunContext,
): Promise<DescribedDump> {
  await using opened = await openCluster(selection, context)
  for (const place of opened.repositories) {
    const judged = await judgeCatalogue(place, context)
    reportDoubts(place, judged, context)
    const dump = judged.catalogue.dumps.find(({ label }) => label === selection.label)
    if (dump === undefined) continue
    return {
      cluster: place.cluster.name,
      repo: place.name,
      location: place.repository.store.location,
      dump,
      head: await readDumpHead(place, dump, context),
      drill: await readNewestDumpDrill(place, dump.label, context),
    }
  }
  throw nowhereListed(selection.label, opened.settings.name)
}
