import { OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'
import type { RunContext } from '../domain/run-context.ts'
import { acceptCatalogue, judgeCatalogue, type JudgedCatalogue } from './guarded-catalogue.ts'
import { openCluster, type ClusterRepository, type ClusterSelection } from './open-cluster.ts'

/** What there is to accept about a repository. Disposing closes its store. */
export interface PlannedAcceptance extends AsyncDisposable {
  readonly place: ClusterRepository
  readonly judged: JudgedCatalogue
  /** False: it is as this host expects it, and there is nothing to accept. */
  readonly isNeeded: boolean
}

/** Looks at what a cluster's catalogue has become. Throws `usage` when several repositories could be meant. */
export async function planAcceptance(
  selection: ClusterSelection,
  context: RunContext,
): Promise<PlannedAcceptance> {
  await using opened = new AsyncDisposableStack()
  const { repositories } = opened.use(await openCluster(selection, context))
  const [place, ...others] = repositories
  if (others.length > 0) {
    const names = repositories.map(({ name }) => quote(name)).join(', ')
    throw new OperationError(
      'usage',
      `choosing a repo: expected --repo, found several configured: ${names}`,
      {
        hint: 'Name one of them with --repo.',
      },
    )
  }
  const judged = await judgeCatalogue(place, context)
  const isNeeded = judged.freshness.kind === 'went-back' || judged.forgetful !== undefined
  const owned = opened.move()
  return { place, judged, isNeeded, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

/** From now on this host takes what is there for the newest that it has seen. */
export async function applyAcceptance({ place }: PlannedAcceptance, context: RunContext): Promise<void> {
  await acceptCatalogue(place, context)
}
