import type { ArchivePlace } from '../archive/archive-place.ts'
import { openWalIndex } from '../archive/stored-wal-index.ts'
import { parseWalIndexKey } from '../archive/wal-index-key.ts'
import type { RunContext } from '../domain/run-context.ts'
import { fetchObject } from './fetch-object.ts'
import { readOrProblem, type Finding } from './object-problem.ts'
import type { GroupResult } from './prove-packs.ts'
import type { IndexGroup } from './verify-groups.ts'

/**
 * Proves the indexes of segments: their seal, and that they can be understood. They are small, so they are read here and
 * not in a worker. One that is damaged costs nothing but the reading of its segment.
 */
export async function proveIndexes(
  { id, folder }: IndexGroup,
  place: ArchivePlace,
  context: RunContext,
): Promise<GroupResult> {
  const findings: Finding[] = []
  let rawBytes = 0
  for await (const { key, sizeBytes } of place.repository.store.list(folder, context)) {
    context.signal.throwIfAborted()
    const problem = await findProblem(key, place, context)
    if (problem === undefined) rawBytes += sizeBytes
    else findings.push({ key, kind: 'wal-index', problem, group: id })
  }
  return { findings, rawBytes }
}

async function findProblem(
  key: string,
  { repository, cluster }: ArchivePlace,
  context: RunContext,
): Promise<string | undefined> {
  const indexName = parseWalIndexKey(cluster.id, key)
  if (indexName === undefined) return undefined
  const object = await fetchObject(repository, key, context)
  if (object.kind === 'absent') return undefined
  if (object.kind === 'unreadable') return object.problem
  const { bytes: sealed } = object
  const owner = { cluster, keys: repository.keys.sealing }
  const opened = await readOrProblem(() =>
    Promise.resolve().then(() => openWalIndex({ ...indexName, sealed }, owner)),
  )
  return 'problem' in opened ? `${opened.problem}; delete it: its segment tells the same` : undefined
}
