import { parseArchiveFileName, type ArchiveFileName } from '../domain/archive-file-name.ts'
import type { RunContext } from '../domain/run-context.ts'
import { segmentNameAt } from '../domain/wal-segment.ts'
import { nameListKey, parseNameListKey } from '../repository/name-list-key.ts'
import { nameListPrefix } from '../repository/object-keys.ts'
import { resealObject } from '../repository/reseal-object.ts'
import { isAboutObject } from '../archive/object-trouble.ts'
import type { FailedCopy } from './transfer-wal.ts'
import type { TransferPlaces } from './transfer-places.ts'

/** Copies the lists of names that the other repository lacks and that go with WAL that is needed. Gives how many. */
export async function transferNames(
  isNeeded: (name: ArchiveFileName) => boolean,
  { from, to }: TransferPlaces,
  context: RunContext,
): Promise<{ readonly count: number; readonly failures: readonly FailedCopy[] }> {
  let count = 0
  const failures: FailedCopy[] = []
  for await (const { key: fromKey } of from.repository.store.list(nameListPrefix(from.cluster.id), context)) {
    const moment = parseNameListKey(from.cluster.id, fromKey)
    if (moment === undefined) continue
    const segment = segmentNameAt(moment.timeline, moment.lsn, from.cluster.walSegmentSize)
    if (!isNeeded(parseArchiveFileName(segment))) continue
    const key = nameListKey(to.cluster.id, moment)
    if ((await to.repository.store.head(key, context)) !== undefined) continue
    const sealed = await from.repository.store.get(fromKey, undefined, context)
    if (sealed === undefined) continue // swept since it was listed: its WAL is not needed any more
    try {
      const bytes = resealObject(
        sealed,
        { keys: from.repository.keys.sealing, kind: 'name-list', key: fromKey },
        { keys: to.repository.keys.sealing, key },
      )
      if ((await to.repository.store.putIfAbsent(key, bytes, context)) === 'created') count += 1
    } catch (error) {
      if (!isAboutObject(error)) throw error
      failures.push({ subject: fromKey, error })
    }
  }
  return { count, failures }
}
