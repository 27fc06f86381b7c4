import type { ArchivePlace } from '../archive/archive-place.ts'
import { formatLsn, toLsn } from '../domain/lsn.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { Suspect, WalTestimony } from '../drill/loss-tally.ts'
import type { PastTransaction } from '../history/past-transaction.ts'
import { TransactionFold } from '../history/transaction-fold.ts'
import { walkWal } from '../history/walk-wal.ts'
import type { Sandbox } from '../sandbox/open-sandbox.ts'
import { relationKey, type RelationId } from '../wal/row-counts.ts'

/**
 * Which of these relations lost rows or files by what was recovered: by a transaction that deleted, truncated, rewrote or
 * dropped and was committed, or by a vacuum that gave empty pages back. Reads the indexes of the WAL from the beginning of
 * the backup to where the recovery ended.
 */
export async function explainLosses(
  { suspects, sandbox }: { readonly suspects: readonly Suspect[]; readonly sandbox: Sandbox },
  place: ArchivePlace,
  context: RunContext,
): Promise<WalTestimony> {
  const { plan, reached, source } = sandbox
  const size = BigInt(place.cluster.walSegmentSize)
  const wanted = new Set(suspects.map(relationKey))
  const explained = new Set<string>()
  const explain = (relation: RelationId): void => {
    const key = relationKey(relation)
    if (wanted.has(key)) explained.add(key)
  }
  const fold = new TransactionFold({
    minRows: 1,
    take: (transaction) => {
      const { isAborted, endRecordLsn } = transaction.ended
      if (!isAborted && endRecordLsn < reached.lsn) lossesOf(transaction).forEach(explain)
    },
  })
  const holes: string[] = []
  await walkWal(
    {
      history: source.history,
      from: toLsn((plan.backup.startLsn / size) * size),
      to: toLsn(((reached.lsn + size - 1n) / size) * size),
      hasSegment: source.archived.hasSegment,
    },
    {
      place,
      take: (facts) => {
        for (const event of facts.relationEvents)
          if (event.kind === 'truncated' && event.lsn < reached.lsn) explain(event)
        fold.add(facts)
      },
      breakOff: ({ fromLsn, reason }) => {
        fold.breakOff()
        holes.push(`from LSN ${formatLsn(fromLsn)}: ${reason}`)
      },
      isDone: () => explained.size === wanted.size,
    },
    context,
  )
  return { explained, holes }
}

const lossesOf = ({ rows, events }: PastTransaction): readonly RelationId[] => [
  ...rows.filter(({ deleted }) => deleted > 0),
  ...events.filter(({ kind }) => kind === 'dropped'),
]
