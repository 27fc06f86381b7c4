import { keyedDigest } from '../codec/keyed-digest.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { parseSystemIdentifier, type SystemIdentifier } from '../domain/system-identifier.ts'
import { toWalSegmentSize, type WalSegmentSize } from '../domain/wal-segment.ts'
import { randomBytes } from '../platform/random.ts'
import { clusterRecordKey, clusterRecordPrefix } from './object-keys.ts'
import type { Repository } from './open-repository.ts'
import { encodeRecord, RecordReader } from './record.ts'
import { readObject, writeObject } from './sealed-store.ts'

/** What a repository knows about one protected cluster. */
export interface ClusterRecord {
  /** 16 hexadecimal digits, a keyed digest of the name: the first part of the keys of everything that belongs to the cluster. */
  readonly id: string
  readonly name: string
  readonly systemIdentifier: SystemIdentifier
  /** 32 hexadecimal digits, random. A restored copy that archives on its own is another lineage of the same system. */
  readonly lineage: string
  readonly major: number
  readonly walSegmentSize: WalSegmentSize
  readonly createdAtMs: number
}

const idLength = 16
const recordName = /^([0-9a-f]{16})\/(\d{4,15})$/

export type NewCluster = Pick<ClusterRecord, 'name' | 'systemIdentifier' | 'major' | 'walSegmentSize'>

/**
 * The cluster's record, created when the repository has none of that name. Throws `cluster-mismatch` when the name
 * stands for another system, or for the same one with another major version or segment size.
 */
export async function ensureCluster(
  repository: Repository,
  cluster: NewCluster,
  context: RunContext,
): Promise<ClusterRecord> {
  const known = await findCluster(repository, cluster.name, context)
  if (known !== undefined) {
    assertSameCluster(known, cluster, repository.store.location)
    return known
  }
  const record: ClusterRecord = {
    ...cluster,
    id: clusterIdOf(repository, cluster.name),
    lineage: Buffer.from(randomBytes(16)).toString('hex'),
    createdAtMs: context.clock.now(),
  }
  const name = { kind: 'cluster', key: clusterRecordKey(record.id, 1) } as const
  const answer = await writeObject(repository, { name, payload: encodeRecord(record) }, context)
  if (answer === 'created') return record
  const payload = await readObject(repository, name, context)
  if (payload === undefined)
    throw new OperationError('busy', `adding cluster "${cluster.name}": its record has vanished`)
  const first = decodeClusterRecord(payload, name.key)
  assertSameCluster(first, cluster, repository.store.location)
  return first
}

/** The record of the cluster with this name, or undefined. */
export async function findCluster(
  repository: Repository,
  name: string,
  context: RunContext,
): Promise<ClusterRecord | undefined> {
  const clusters = await listClusters(repository, context)
  return clusters.find((cluster) => cluster.name === name)
}

/** Like `findCluster`, but a cluster that the repository does not know is an error: `cluster-unknown`. */
export async function requireCluster(
  repository: Repository,
  name: string,
  context: RunContext,
): Promise<ClusterRecord> {
  const named = await readNamed(repository, name, context)
  if (named !== undefined) return named
  const clusters = await listClusters(repository, context)
  const cluster = clusters.find((candidate) => candidate.name === name)
  if (cluster !== undefined) return cluster
  const known = clusters.map((candidate) => `"${candidate.name}"`).join(', ')
  throw new OperationError(
    'cluster-unknown',
    `opening cluster "${name}" in "${repository.store.location}": the repository knows ${known === '' ? 'no cluster' : known}`,
    { hint: `Run "holdfast init --cluster ${name}" to add it.` },
  )
}

/** The record where the name says that it is, unless there is another revision of it: with one answer of the store to wait for. */
async function readNamed(
  repository: Repository,
  name: string,
  context: RunContext,
): Promise<ClusterRecord | undefined> {
  const id = clusterIdOf(repository, name)
  const first = clusterRecordKey(id, 1)
  const [payload, isOnly] = await Promise.all([
    readObject(repository, { kind: 'cluster', key: first }, context),
    hasOnly(repository, { prefix: `${clusterRecordPrefix}${id}/`, key: first }, context),
  ])
  return payload === undefined || !isOnly ? undefined : decodeClusterRecord(payload, first)
}

/** Whether this is the only object below the prefix. */
async function hasOnly(
  { store }: Repository,
  { prefix, key: expected }: { readonly prefix: string; readonly key: string },
  context: RunContext,
): Promise<boolean> {
  for await (const { key } of store.list(prefix, context)) if (key !== expected) return false
  return true
}

/** The name decides the id, so of two that create the cluster at once only one can. */
function clusterIdOf(repository: Repository, name: string): string {
  const digest = keyedDigest(repository.keys.namesKey, new TextEncoder().encode(`cluster ${name}`))
  return digest.slice(0, idLength)
}

/** Every cluster of the repository, oldest first. */
export async function listClusters(
  repository: Repository,
  context: RunContext,
): Promise<readonly ClusterRecord[]> {
  const newest = new Map<string, number>()
  for await (const { key } of repository.store.list(clusterRecordPrefix, context)) {
    const [, id, revision] = recordName.exec(key.slice(clusterRecordPrefix.length)) ?? []
    if (id !== undefined) newest.set(id, Math.max(Number(revision), newest.get(id) ?? 0))
  }
  const records: ClusterRecord[] = []
  for (const [id, revision] of newest) {
    const key = clusterRecordKey(id, revision)
    const payload = await readObject(repository, { kind: 'cluster', key }, context)
    if (payload !== undefined) records.push(decodeClusterRecord(payload, key))
  }
  return records.toSorted((one, other) => one.createdAtMs - other.createdAtMs)
}

/** Throws `cluster-mismatch` unless `found` is the cluster of the record. */
export function assertSameCluster(
  record: ClusterRecord,
  found: Omit<NewCluster, 'name'>,
  location: string,
): void {
  const differences = [
    record.systemIdentifier === found.systemIdentifier
      ? []
      : [`expected system identifier ${record.systemIdentifier}, found ${found.systemIdentifier}`],
    record.major === found.major ? [] : [`expected PostgreSQL ${record.major}, found ${found.major}`],
    record.walSegmentSize === found.walSegmentSize
      ? []
      : [`expected WAL segments of ${record.walSegmentSize} bytes, found ${found.walSegmentSize}`],
  ].flat()
  if (differences.length === 0) return
  throw new OperationError(
    'cluster-mismatch',
    `using cluster "${record.name}" in "${location}": ${differences.join('; ')}`,
    { hint: 'Give the other cluster a name of its own with "holdfast init --cluster NAME".' },
  )
}

function decodeClusterRecord(payload: Uint8Array, key: string): ClusterRecord {
  const reader = RecordReader.decode(payload, `cluster record "${key}"`)
  const id = reader.string('id')
  // The id begins the keys of everything that belongs to the cluster: it must not lead anywhere else.
  if (!key.startsWith(`${clusterRecordPrefix}${id}/`)) {
    throw new OperationError(
      'damaged',
      `reading cluster record "${key}": it says that it is the record of another cluster`,
    )
  }
  return {
    id,
    name: reader.string('name'),
    systemIdentifier: reader.parsed('systemIdentifier', parseSystemIdentifier),
    lineage: reader.string('lineage'),
    major: reader.count('major'),
    walSegmentSize: reader.parsedCount('walSegmentSize', toWalSegmentSize),
    createdAtMs: reader.count('createdAtMs'),
  }
}
