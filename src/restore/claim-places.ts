import type { RunContext } from '../domain/run-context.ts'
import { makeFolderDurably } from '../platform/durable-file.ts'
import type { ManifestHead } from '../repository/manifest-head.ts'
import type { ForbiddenPlaces } from './check-path.ts'
import { inspectTarget } from './inspect-target.ts'
import type { RestorePlan } from './plan-restore.ts'
import { goalOf } from './restore-request.ts'
import { busy, claimDirectory, isHeld, releaseDirectory, type Claim } from './restore-marker.ts'

export interface ClaimRequest {
  readonly plan: Pick<RestorePlan, 'request' | 'places' | 'backup'>
  readonly head: Pick<ManifestHead, 'systemIdentifier' | 'tablespaces'>
  readonly forbidden: ForbiddenPlaces
}

/**
 * Marks every place as ours and then looks at all of them again: since the plan was made another restore may have filled
 * them, or a server may have been started. When anything is not as planned they are given back as they were.
 */
export async function claimPlaces(
  { plan, head, forbidden }: ClaimRequest,
  context: RunContext,
): Promise<void> {
  const { systemIdentifier, tablespaces } = head
  const marker = {
    systemIdentifier,
    backup: plan.backup.label,
    dataDirectory: plan.request.targetDirectory,
  }
  // Of what is recovered nothing is written to but the data directory.
  const places = plan.places.filter(({ root, state }) => root === 0 || state !== 'recovered')
  const claims = new Map<string, Claim>()
  try {
    for (const { path, recovered } of places) {
      await makeFolderDurably(path, 0o700)
      claims.set(path, await claimDirectory(path, { ...marker, recovered }))
    }
    const goal = goalOf(plan.request)
    const request = { ...plan.request, goal, systemIdentifier, tablespaces, forbidden, claims }
    const found = await inspectTarget(request, context)
    for (const { root, path, state } of plan.places) {
      if (found.some((place) => place.root === root && place.state === state)) continue
      throw busy(path, 'it has changed since the restore was planned')
    }
    for (const claim of claims.values()) {
      if (!(await isHeld(claim))) throw busy(claim.directory, 'another restore has taken it')
    }
  } catch (error) {
    // What went wrong is what counts; a marker that stays is a dead restore's, which the next one takes over.
    for (const claim of claims.values()) await releaseDirectory(claim).catch(() => undefined)
    throw error
  }
}
