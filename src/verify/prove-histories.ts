import type { ArchivePlace } from '../archive/archive-place.ts'
import { decodeText } from '../archive/check-archived-file.ts'
import { parseWalObjectKey } from '../archive/wal-object-key.ts'
import { keyedDigest } from '../codec/keyed-digest.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { parseTimelineHistory } from '../domain/timeline-history.ts'
import { walPrefix } from '../repository/object-keys.ts'
import { readObject } from '../repository/sealed-store.ts'
import { readOrProblem, type Finding } from './object-problem.ts'
import type { GroupResult } from './prove-packs.ts'
import { historyGroupId } from './verify-groups.ts'

/** Proves all history files: their seal, their content by its digest, and that they can be understood. */
export async function proveHistories(place: ArchivePlace, context: RunContext): Promise<GroupResult> {
  const findings: Finding[] = []
  let rawBytes = 0
  const prefix = `${walPrefix(place.cluster.id)}history/`
  for await (const { key } of place.repository.store.list(prefix, context)) {
    const proof = await readOrProblem(() => proveHistory(key, place, context))
    if ('content' in proof) rawBytes += proof.content
    else findings.push({ key, kind: 'history', problem: proof.problem, group: historyGroupId })
  }
  return { findings, rawBytes }
}

/** Gives its length; 0 when it is gone or not ours. */
async function proveHistory(
  key: string,
  { repository, cluster }: ArchivePlace,
  context: RunContext,
): Promise<number> {
  const object = parseWalObjectKey(cluster.id, key)
  if (object === undefined) return 0
  const bytes = await readObject(repository, { kind: 'history-file', key }, context)
  if (bytes === undefined) return 0
  const { name, timeline } = object.name
  const digest = keyedDigest(repository.keys.namesKey, new TextEncoder().encode(name), bytes)
  if (digest !== object.digest)
    throw new OperationError('damaged', `reading "${key}": its content is not the one that its name says`)
  parseTimelineHistory(timeline, decodeText(bytes))
  return bytes.length
}
