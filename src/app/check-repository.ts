import { stat, statfs } from 'node:fs/promises'
import { readArchiveInventory, type ArchiveInventory } from '../archive/archive-inventory.ts'
import type { RepoConfiguration } from '../config/select-configured.ts'
import { labelTimeMs, nounOf } from '../domain/backup-label.ts'
import { formatByteSize } from '../domain/byte-size.ts'
import { formatDuration } from '../domain/duration.ts'
import { quote } from '../domain/quote.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { BackupEntry, ListedBackup } from '../repository/backup-entry.ts'
import { assertSameCluster } from '../repository/cluster-record.ts'
import { readManifestHead } from '../repository/manifest-reader.ts'
import type { ServerFacts, ServerIdentity } from '../postgres/server-facts.ts'
import { localFolderOf } from '../storage/open-store.ts'
import { readNewestDrill } from '../drill/drill-report-store.ts'
import { judgeDrill } from './judge-drill.ts'
import { readVerifyState } from '../verify/verify-state-store.ts'
import { checkItem, type CheckItem } from './check-item.ts'
import { withoutExpiredGaps } from './expired-gaps.ts'
import {
  firstSeenText,
  formatTime,
  judgeCatalogue,
  prunedText,
  type JudgedCatalogue,
} from './guarded-catalogue.ts'
import { judgeProtection } from './judge-protection.ts'
import { judgeVerified } from './judge-verified.ts'
import type { ClusterRepository } from './open-cluster.ts'

interface CheckedRepository {
  readonly opened: ClusterRepository
  readonly settings: RepoConfiguration
  /** Undefined: the server could not be asked. */
  readonly facts: ServerFacts | undefined
}

/** What a repository holds and where it lies. That it could be opened has proven its key. */
export async function checkRepository(
  { opened, settings, facts }: CheckedRepository,
  context: RunContext,
): Promise<readonly CheckItem[]> {
  const { name, repository, cluster } = opened
  const check = (what: string, body: () => Promise<Omit<CheckItem, 'name'>>): Promise<CheckItem> =>
    checkItem(`${what} of repo ${name}`, body, context)
  const judged = await judgeCatalogue(opened, context)
  const { backups } = judged.catalogue
  const path = localFolderOf(repository.store.location)
  return [
    await check('key', () => Promise.resolve(judgeKey(settings))),
    ...(facts === undefined
      ? []
      : [await check('identity', () => Promise.resolve(judgeIdentity(opened, facts)))]),
    await check('catalogue', () => Promise.resolve(judgeAge(judged))),
    await check('WAL archive', async () =>
      judgeArchive(await readArchiveInventory({ repository, cluster }, context), backups),
    ),
    await check('last backup', () => Promise.resolve(judgeLastBackup(backups, context.clock.now()))),
    await check('verify', async () =>
      judgeVerified(await readVerifyState(repository, cluster.id, context), context.clock.now()),
    ),
    await check('drill', async () =>
      judgeDrill(await readNewestDrill({ repository, cluster }, context), context.clock.now()),
    ),
    ...(repository.store.protection === undefined
      ? []
      : [await check('protection', () => checkProtection(opened, backups, context))]),
    ...(path === undefined ? [] : [await check('space', () => checkSpace(path, backups.at(-1)))]),
    ...(path === undefined || facts === undefined
      ? []
      : [await check('place', () => checkPlace(path, facts))]),
  ]
}

export type Verdict = Omit<CheckItem, 'name'>

/** What would be left if somebody deleted everything, and whether what the newest backup needs is locked. */
export async function checkProtection(
  { repository, cluster }: ClusterRepository,
  backups: readonly ListedBackup[],
  context: RunContext,
): Promise<Verdict> {
  const { store } = repository
  const protection = (await store.protection?.(context)) ?? { keepsVersions: undefined, canLock: undefined }
  const oldestNeededMs =
    store.retention === undefined ? undefined : await ageOfNeeded({ repository, cluster }, backups, context)
  return judgeProtection({ protection, retention: store.retention, oldestNeededMs })
}

/** Incremental backups refer to packs of earlier ones. */
async function ageOfNeeded(
  { repository, cluster }: Pick<ClusterRepository, 'repository' | 'cluster'>,
  backups: readonly ListedBackup[],
  context: RunContext,
): Promise<number | undefined> {
  const newest = backups.at(-1)
  if (newest === undefined) return undefined
  const { packs } = await readManifestHead(repository, { clusterId: cluster.id, ...newest }, context)
  const oldest = packs
    .map(({ label }) => labelTimeMs(label))
    .reduce((one, other) => Math.min(one, other), Infinity)
  return oldest === Infinity ? undefined : context.clock.now() - oldest
}

/** That the repository could be opened has proven it. */
export function judgeKey({ keyFile, passphraseFile }: RepoConfiguration): Verdict {
  const secret = keyFile ?? passphraseFile
  if (secret !== undefined)
    return { state: 'ok', message: `${quote(secret)} opens it, and nobody else may read that file` }
  return {
    state: 'warning',
    message: 'the repository is not encrypted: whoever gets at it can read everything',
    hint: 'Set up an encrypted one with "holdfast init", unless the place itself is safe.',
  }
}

/** Whether the server is the one that the repository knows. Throws `cluster-mismatch`. */
export function judgeIdentity({ cluster, repository }: ClusterRepository, facts: ServerIdentity): Verdict {
  const { systemIdentifier, version, walSegmentSize } = facts
  assertSameCluster(
    cluster,
    { systemIdentifier, major: version.major, walSegmentSize },
    repository.store.location,
  )
  return {
    state: 'ok',
    message: `system ${systemIdentifier}, PostgreSQL ${version.major}, as the server says`,
  }
}

/** Whether the catalogue may be an older copy of itself. */
export function judgeAge({ catalogue, freshness, writtenAtMs, forgetful }: JudgedCatalogue): Verdict {
  if (freshness.kind === 'went-back') {
    const { message, hint } = freshness.error
    return { state: 'failed', message, hint }
  }
  if (forgetful !== undefined) {
    const message = `this host cannot remember what it sees, so it would not notice an older copy: ${forgetful.message}`
    return { state: 'warning', message, hint: forgetful.hint }
  }
  if (freshness.kind === 'pruned') return { state: 'info', message: prunedText(freshness, writtenAtMs) }
  if (freshness.kind === 'first-seen') return { state: 'info', message: firstSeenText(writtenAtMs) }
  if (writtenAtMs === undefined) return { state: 'ok', message: 'empty as yet' }
  const message = `entry #${catalogue.number} of ${formatTime(writtenAtMs)}, not older than what this host has seen`
  return { state: 'ok', message }
}

function judgeArchive({ timelines, conflicts }: ArchiveInventory, backups: readonly ListedBackup[]): Verdict {
  const [conflict] = conflicts
  if (conflict !== undefined) {
    return {
      state: 'failed',
      message: `${conflict.name.name} has ${conflict.digests.length} different contents`,
      hint: 'Two servers archive as one cluster: give one of them another cluster name.',
    }
  }
  const gaps = withoutExpiredGaps(timelines, backups).flatMap((timeline) => timeline.gaps)
  const [gap] = gaps
  if (gap !== undefined) {
    const missing = gaps.reduce((sum, { count }) => sum + count, 0n)
    return {
      state: 'warning',
      message: `segments are missing: ${missing}, the first is ${gap.first}`,
      hint: 'What needs them cannot be recovered from here. Bring them from another repository with "holdfast repo copy", or take a new backup, which needs none of them.',
    }
  }
  const count = timelines.flatMap(({ ranges }) => ranges).reduce((sum, range) => sum + range.count, 0n)
  return { state: 'ok', message: count === 0n ? 'empty as yet' : `without a hole, segments: ${count}` }
}

/** A week and a day: who takes one every Sunday is not warned on Monday. */
export const oldBackupMs = 8 * 24 * 60 * 60 * 1000

function judgeLastBackup(backups: readonly BackupEntry[], now: number): Verdict {
  const last = backups.at(-1)
  if (last === undefined) {
    return { state: 'warning', message: 'there is none', hint: 'Take the first one with "holdfast backup".' }
  }
  const ageMs = now - Number(last.stoppedAt / 1000n)
  const message = `${last.label}, ${formatDuration(ageMs)} old`
  if (last.damagedPageCount > 0) {
    return {
      state: 'warning',
      message: `${message}, with ${last.damagedPageCount} damaged pages`,
      hint: `"holdfast info ${last.label}" says which; the damage is in the cluster itself.`,
    }
  }
  if (ageMs > oldBackupMs) return { state: 'warning', message, hint: 'Take one with "holdfast backup".' }
  return { state: 'ok', message }
}

const leastFreeShare = 0.05

/** Whether there is room for another one like the last. */
export async function checkSpace(
  path: string,
  last: { readonly label: string; readonly storedBytes: number } | undefined,
): Promise<Verdict> {
  const { bavail, blocks, bsize } = await statfs(path)
  const free = bavail * bsize
  const total = blocks * bsize
  const next = last?.storedBytes ?? 0
  const message = `${formatByteSize(free)} of ${formatByteSize(total)} are free`
  if (last !== undefined && free < next) {
    const noun = nounOf(last.label)
    return {
      state: 'warning',
      message: `${message}, less than the last ${noun} took`,
      hint: `Make room before the next ${noun}${noun === 'dump' ? '' : '; WAL needs some as well'}.`,
    }
  }
  if (free < total * leastFreeShare) {
    return { state: 'warning', message, hint: 'Make room: when it is full, WAL piles up on the server.' }
  }
  return { state: 'ok', message }
}

/** Three copies, on two kinds of media, one elsewhere: what we can see is whether one disk would take all of them. */
async function checkPlace(path: string, { dataDirectory }: ServerFacts): Promise<Verdict> {
  const [repo, cluster] = await Promise.all([stat(path), stat(dataDirectory)])
  if (repo.dev !== cluster.dev)
    return { state: 'ok', message: 'another file system than that of the data directory' }
  return {
    state: 'warning',
    message:
      'the same file system as the data directory: losing it loses the cluster and its backups together',
    hint: 'Keep a repository on another disk or machine, best on both.',
  }
}
