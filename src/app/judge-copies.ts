import type { BackupLabel } from '../domain/backup-label.ts'
import type { CheckItem } from './check-item.ts'

/** A repository, as far as it matters when something is lost. */
export interface CopyPlace {
  readonly name: string
  /** Of the backups that it lists, newest first. */
  readonly labels: readonly BackupLabel[]
  /** What is lost together has the same text: a file system of this machine, or a kind of store elsewhere. */
  readonly medium: string
  readonly isOffSite: boolean
  /** Whether what is stored there is locked, so that nobody with our keys can delete it. */
  readonly isLocked: boolean
  /** Whether a restore from it was tried and passed. */
  readonly isDrilled: boolean
}

/**
 * How far the rule is kept that there are three copies of the data, on two media, one of them off site: the cluster is one of the
 * copies. Says what there is; that a repository has fallen behind is a warning.
 */
export function judgeCopies(
  places: readonly CopyPlace[],
  clusterMedium: string | undefined,
): readonly CheckItem[] {
  const newest = places
    .flatMap(({ labels }) => labels.slice(0, 1))
    .toSorted()
    .at(-1)
  if (newest === undefined) return []
  const current = places.filter(({ labels }) => labels.includes(newest))
  const media = new Set([
    ...current.map(({ medium }) => medium),
    ...(clusterMedium === undefined ? [] : [clusterMedium]),
  ])
  const offSite = current.filter(({ isOffSite }) => isOffSite)
  const lacking = [
    ...(current.length < 2 ? ['a second repository with the newest backup'] : []),
    ...(media.size < 2 ? ['a second medium'] : []),
    ...(offSite.length < 1 ? ['a copy off site'] : []),
    ...(current.some(({ isDrilled }) => isDrilled) ? [] : ['a restore that was tried']),
  ]
  const message =
    `the newest backup is in ${current.map(({ name }) => name).join(', ')}: ` +
    `${current.length + 1} copies with the cluster, on ${media.size} ${media.size === 1 ? 'medium' : 'media'}, ${offSite.length} off site, ${current.filter(({ isLocked }) => isLocked).length} locked`
  const rule: CheckItem = {
    name: 'copies',
    ...(lacking.length === 0
      ? { state: 'ok', message }
      : {
          state: 'info',
          message: `${message}; lacking: ${lacking.join(', ')}`,
          hint: 'Three copies on two media, one of them off site, outlive what one or two do not (docs/copies.md).',
        }),
  }
  return [rule, ...places.filter((place) => !current.includes(place)).map((place) => behind(place, places))]
}

function behind({ name, labels }: CopyPlace, places: readonly CopyPlace[]): CheckItem {
  const known = new Set(labels)
  const all = new Set(places.flatMap((place) => place.labels))
  const [own] = labels
  const newer = [...all].filter((label) => !known.has(label) && (own === undefined || label > own))
  return {
    name: `copies in repo ${name}`,
    state: 'warning',
    message: `it lacks the ${newer.length === 1 ? 'newest backup' : `newest ${newer.length} backups`}`,
    hint: 'Run "holdfast repo copy".',
  }
}
