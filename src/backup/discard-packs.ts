import type { BackupLabel } from '../domain/backup-label.ts'
import type { RunContext } from '../domain/run-context.ts'
import { readCatalogue } from '../repository/catalogue.ts'
import type { Lease } from '../repository/lease.ts'
import { manifestPrefix, packPrefix } from '../repository/object-keys.ts'
import type { Repository } from '../repository/open-repository.ts'
import { tidyAway } from '../repository/tidy-away.ts'

interface Discarded {
  readonly repository: Repository
  readonly clusterId: string
  readonly label: BackupLabel
  readonly lease: Lease
}

/**
 * Removes what a failed backup has stored, if that is certainly not listed and the lease still holds. Never throws: the
 * failure that brought us here is what the operator must see, and what stays is garbage, not harm.
 */
export async function discardPacks(
  { repository, clusterId, label, lease }: Discarded,
  context: RunContext,
): Promise<void> {
  const cleaning = { ...context, signal: AbortSignal.timeout(30_000) } // also after the work was cancelled
  try {
    const { backups } = await readCatalogue(repository, clusterId, cleaning)
    if (backups.some((backup) => backup.label === label)) return
    await lease.confirm()
    let isLeft = false
    for (const prefix of [packPrefix(clusterId, label), manifestPrefix(clusterId, label)]) {
      const keys: string[] = []
      for await (const { key } of repository.store.list(prefix, cleaning)) keys.push(key)
      if ((await tidyAway(repository, keys, cleaning)).length > 0) isLeft = true
    }
    if (isLeft) context.report({ kind: 'note', message: leftText(label) })
  } catch {
    context.report({
      kind: 'warning',
      message: `could not remove what the failed backup ${label} has stored`,
    })
  }
}

const leftText = (label: BackupLabel): string =>
  `what the failed backup ${label} has stored stays: the store does not let it be deleted; a sweep on a host that may delete removes it`
