import assert from 'node:assert/strict'
import { fromBytePath } from '../platform/byte-path.ts'
import { eachInFlight } from '../platform/in-flight.ts'
import type { ArchivePlace } from '../archive/archive-place.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { ManifestHead } from '../repository/manifest-head.ts'
import { readManifestHead } from '../repository/manifest-reader.ts'
import { packKey, packPrefix } from '../repository/object-keys.ts'
import type { ForbiddenPlaces } from './check-path.ts'
import { gatherRouteFacts } from './gather-route-facts.ts'
import { inspectTarget } from './inspect-target.ts'
import type { Layout } from './layout.ts'
import { leaveOutFiles } from './leave-out.ts'
import { leadsOutside } from './leads-outside.ts'
import { measureSpace } from './measure-space.ts'
import type { RestoreFacts } from './plan-restore.ts'
import { readLayout } from './read-layout.ts'
import { refuseLaterTablespaces } from './refuse-later-tablespaces.ts'
import { goalOf, type RestoreRequest } from './restore-request.ts'
import type { ArchivedNames } from './wal-route.ts'
import { packMissing, type SparePackSource } from './write-packs.ts'

/** What was found out, and what is needed to act on it. */
export interface GatheredFacts extends RestoreFacts {
  readonly head: ManifestHead
  readonly layout: Layout
  /** What the archive holds, as far as names tell. */
  readonly archived: ArchivedNames
}

/** WAL that recovery keeps in pg_wal beside the files, at most: PostgreSQL recycles what it has replayed. */
const mostWalBytes = 1024 * 1024 * 1024

/** A chain of backups has packs of many, and a store may be far away. */
const parallelListings = 8

interface Gathering {
  readonly request: RestoreRequest
  readonly forbidden: ForbiddenPlaces
  readonly spares?: SparePackSource | undefined
}

/**
 * Finds out everything that a restore depends on: backups, timelines, WAL, every pack, every entry of the manifest, and
 * who lives in the target. Changes nothing. Throws what already forbids the restore.
 */
export async function gatherRestoreFacts(
  { request, forbidden, spares }: Gathering,
  place: ArchivePlace,
  context: RunContext,
): Promise<GatheredFacts> {
  const { repository, cluster } = place
  const found = await gatherRouteFacts({ target: request.target, label: request.backup }, place, context)
  const { route, walRoute } = found
  const { backup } = route
  const head = await readManifestHead(repository, { clusterId: cluster.id, ...backup }, context)
  const [{ layout, leftOut }] = await Promise.all([
    chooseLayout({ request, head }, place, context),
    requirePacks({ head, spares }, place, context),
  ])
  const wanted = { ...request, goal: goalOf(request), forbidden }
  const places = await inspectTarget({ ...head, ...wanted }, context)
  const { clusterDirectory } = forbidden
  await refuseLaterTablespaces({ targetDirectory: request.targetDirectory, head, clusterDirectory })
  const walBytes = Math.min(mostWalBytes, walRoute.count * cluster.walSegmentSize)
  const space = await measureSpace(
    places.filter(({ state }) => state !== 'recovered'),
    (root) => (layout.bytesOfRoot.get(root) ?? 0) + (root === 0 ? walBytes : 0),
  )
  return {
    ...found,
    places,
    space,
    head,
    layout,
    leftOut,
    linksOutside: linksOutsideOf(layout),
    hasConfiguration: hasConfiguration(layout),
  }
}

/** What the manifest says, less what the request leaves out. */
async function chooseLayout(
  { request, head }: { readonly request: RestoreRequest; readonly head: ManifestHead },
  { repository, cluster }: ArchivePlace,
  context: RunContext,
): Promise<Pick<GatheredFacts, 'layout' | 'leftOut'>> {
  const layout = await readLayout({ repository, cluster, head }, context)
  if (request.leaveOut === undefined) return { layout }
  assert(request.isIsolated === true, 'a cluster that is to live needs all its files')
  return leaveOutFiles(layout, await request.leaveOut(head.backup, context))
}

/** Every pack must be there with its size, or in another repository; what is in it shows when it is read. */
async function requirePacks(
  { head, spares }: { readonly head: ManifestHead; readonly spares: SparePackSource | undefined },
  { repository, cluster }: ArchivePlace,
  context: RunContext,
): Promise<void> {
  const sizes = new Map<string, number>()
  const labels = [...new Set(head.packs.map((pack) => pack.label))]
  await eachInFlight(labels.length, parallelListings, async (index) => {
    const prefix = packPrefix(cluster.id, labels[index] ?? head.backup.label)
    for await (const { key, sizeBytes } of repository.store.list(prefix, context)) sizes.set(key, sizeBytes)
  })
  for (const pack of head.packs) {
    const key = packKey(cluster.id, pack)
    if (sizes.get(key) === pack.sizeBytes) continue
    if ((await spares?.has({ head, reference: pack }, context)) !== true)
      throw packMissing(key, head.backup.label)
  }
}

const linksOutsideOf = ({ links }: Layout): readonly string[] =>
  links.filter(leadsOutside).map(({ path }) => fromBytePath(path).toString('utf8'))

function hasConfiguration({ files }: Layout): boolean {
  const wanted = new Set(['postgresql.conf', 'pg_hba.conf'])
  for (let file = 0; file < files.count && wanted.size > 0; file += 1) {
    if (files.root(file) === 0) wanted.delete(files.path(file))
  }
  return wanted.size === 0
}
