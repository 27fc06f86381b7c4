import { isOperationError, OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { ServerFacts } from '../postgres/server-facts.ts'
import type { ListedBackup } from '../repository/backup-entry.ts'
import { readManifestHead } from '../repository/manifest-reader.ts'
import { chooseParent, isAuditDue, type ParentChoice } from './choose-parent.ts'
import { readServerHistory, type ChosenParent } from './prove-lineage.ts'
import type { BackupRequest, BackupTools } from './run-backup.ts'

interface Search {
  readonly request: Pick<BackupRequest, 'type' | 'isAudit' | 'auditEvery' | 'damaged'>
  readonly facts: Pick<ServerFacts, 'dataDirectory' | 'timeline'>
  readonly listed: readonly ListedBackup[]
}

/**
 * The backup that the next one goes on from; undefined for a full one, with the reason reported unless it was asked for.
 * Throws `not-found` when an incremental was asked for and there is nothing to go on from.
 */
export async function findParent(
  search: Search,
  place: BackupTools,
  context: RunContext,
): Promise<ChosenParent | undefined> {
  const { request, facts, listed } = search
  if (request.type === 'full') return undefined
  const history = await readServerHistory(facts, place, context)
  if (history === undefined)
    return withoutParent(search, `there is no history of timeline ${facts.timeline}`, context)
  const damaged = new Set(request.damaged)
  for (;;) {
    const choice: ParentChoice = chooseParent({ listed, history, damaged })
    if (choice.kind === 'none') return withoutParent(search, choice.reason, context)
    const { backup } = choice
    try {
      const head = await readManifestHead(
        place.repository,
        { clusterId: place.cluster.id, ...backup },
        context,
      )
      return { head, history, isAudit: request.isAudit || isAuditDue(listed, request.auditEvery) }
    } catch (error) {
      if (!isOperationError(error, 'damaged')) throw error
      context.report({ kind: 'warning', message: `going on from an older backup: ${error.message}` })
      damaged.add(backup.label)
    }
  }
}

function withoutParent({ request, listed }: Search, reason: string, context: RunContext): undefined {
  if (request.type === 'incr')
    throw new OperationError('not-found', `taking an incremental backup: ${reason}`, {
      hint: 'Take a full backup first: leave "--type" out, or give "--type full".',
    })
  if (listed.length > 0)
    context.report({ kind: 'warning', message: `taking a full backup, because ${reason}` })
  return undefined
}
