import type { PushedFile } from '../archive/push-file.ts'
import { noteBehind, readBehind } from '../archive/repositories-behind.ts'
import type { Configuration } from '../config/configuration-schema.ts'
import { requirePhysical } from '../config/require-physical.ts'
import { selectCluster } from '../config/select-configured.ts'
import { copiesRequired } from '../domain/archive-policy.ts'
import type { RunContext } from '../domain/run-context.ts'
import { openArchivePlaces, type OpenedPlaces } from './open-archive-places.ts'
import { chooseRepos } from './open-cluster.ts'

export interface PlacesForPush extends OpenedPlaces {
  /** How many of all the configured ones must hold a file. */
  readonly required: number
  /** Whether all the configured ones are open. */
  readonly isComplete: boolean
  /** Notes for the next start which of them are behind. */
  readonly remember: (pushed: Pick<PushedFile, 'behind'>) => Promise<void>
}

interface Wanted {
  readonly configuration: Configuration
  readonly clusterName: string | undefined
  /** The server's pg_wal. */
  readonly walFolder: string
}

const nobody: ReadonlySet<string> = new Set()

/**
 * Opens the repositories that WAL goes to: all of the cluster's, unless the policy is content with fewer. Then those that
 * were behind a moment ago are left alone, as long as enough others can be opened.
 */
export async function openPlacesForPush(
  { configuration, clusterName, walFolder }: Wanted,
  context: RunContext,
): Promise<PlacesForPush> {
  const settings = selectCluster(configuration, clusterName)
  requirePhysical(settings, {
    doing: 'archiving WAL of',
    hint: 'Take "archive_command" out of the settings of the server, or "logical-only" out of the configuration.',
  })
  const repos = chooseRepos(configuration, settings, undefined)
  const required = copiesRequired(configuration.archive.policy, repos.length)
  const mayLack = required < repos.length
  const open = (passOver: ReadonlySet<string>): Promise<OpenedPlaces> =>
    openArchivePlaces(
      { configuration, clusterName, repoName: undefined, enough: required, passOver },
      context,
    )
  const behind = mayLack ? await readBehind(walFolder, context) : nobody
  let leftAlone = repos.length - behind.size >= required ? behind : nobody
  let places = await open(leftAlone)
  if (places.repositories.length < required && leftAlone.size > 0) {
    await places[Symbol.asyncDispose]()
    leftAlone = nobody
    places = await open(leftAlone)
  }
  const isEnough = places.repositories.length >= required
  if (isEnough) for (const failure of places.failures) warn(failure, context)
  const remember: PlacesForPush['remember'] = async (pushed) => {
    if (!mayLack || !isEnough) return
    const isBehind = new Set(pushed.behind)
    const stored = places.repositories.filter((place) => !isBehind.has(place)).map(({ name }) => name)
    const others = repos.map(({ name }) => name).filter((name) => !stored.includes(name))
    await noteBehind(walFolder, { behind: others.filter((name) => !leftAlone.has(name)), stored }, context)
  }
  return { ...places, required, isComplete: places.repositories.length === repos.length, remember }
}

function warn(failure: unknown, { report }: RunContext): void {
  const message = failure instanceof Error ? failure.message : String(failure)
  report({
    kind: 'warning',
    message: `archiving without one of the repositories: ${message}`,
    hint: 'When it is well again, run "holdfast repo copy": it brings there what it lacks.',
  })
}
