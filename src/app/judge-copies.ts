import type { BackupLabel } from '../domain/backup-label.ts'
import type { CheckItem } from './check-item.ts'

/** A repository with dumps, as far as it matters when something is lost. */
export interface DumpPlace {
  readonly name: string
  /** Of the backups, or dumps, that it lists, newest first. */
  readonly labels: readonly BackupLabel[]
  /** What is lost together has the same text: a file system of this machine, or a kind of store elsewhere. */
  readonly medium: string
  readonly isOffSite: boolean
  /** Whether what is stored there is locked, so that nobody with our keys can delete it. */
  readonly isLocked: boolean
}

/** A repository with backups, likewise. */
export interface CopyPlace extends DumpPlace {
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
  const found = findNewest(places)
  if (found === undefined) return []
  const { current } = found
  const isDrilled = current.some((place) => place.isDrilled)
  const rule = judgeRule(found, { clusterMedium, noun: 'backup', lacking: isDrilled ? [] : [untried] })
  return [rule, ...places.filter((place) => !current.includes(place)).map((place) => behind(place, places))]
}

/** The same of dumps, which go into one repository and are loaded and not restored. */
export function judgeDumpCopies(
  places: readonly DumpPlace[],
  clusterMedium: string | undefined,
): readonly CheckItem[] {
  const found = findNewest(places)
  return found === undefined ? [] : [judgeRule(found, { clusterMedium, noun: 'dump', lacking: [] })]
}

const untried = 'a restore that was tried'

interface Newest<Place> {
  /** The places that have what is newest of all. */
  readonly current: readonly Place[]
}

function findNewest<Place extends DumpPlace>(places: readonly Place[]): Newest<Place> | undefined {
  const newest = places
    .flatMap(({ labels }) => labels.slice(0, 1))
    .toSorted()
    .at(-1)
  return newest === undefined
    ? undefined
    : { current: places.filter(({ labels }) => labels.includes(newest)) }
}

interface Rule {
  readonly clusterMedium: string | undefined
  readonly noun: 'backup' | 'dump'
  /** What else is known to be missing. */
  readonly lacking: readonly string[]
}

function judgeRule(
  { current }: Newest<DumpPlace>,
  { clusterMedium, noun, lacking: others }: Rule,
): CheckItem {
  const media = new Set([
    ...current.map(({ medium }) => medium),
    ...(clusterMedium === undefined ? [] : [clusterMedium]),
  ])
  const offSite = current.filter(({ isOffSite }) => isOffSite)
  const lacking = [
    ...(current.length < 2 ? [`a second repository with the newest ${noun}`] : []),
    ...(media.size < 2 ? ['a second medium'] : []),
    ...(offSite.length < 1 ? ['a copy off site'] : []),
    ...others,
  ]
  const message =
    `the newest ${noun} is in ${current.map(({ name }) => name).join(', ')}: ` +
    `${current.length + 1} copies with the cluster, on ${media.size} ${media.size === 1 ? 'medium' : 'media'}, ${offSite.length} off site, ${current.filter(({ isLocked }) => isLocked).length} locked`
  if (lacking.length === 0) return { name: 'copies', state: 'ok', message }
  return {
    name: 'copies',
    state: 'info',
    message: `${message}; lacking: ${lacking.join(', ')}`,
    hint: 'Three copies on two media, one of them off site, outlive what one or two do not (docs/copies.md).',
  }
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
