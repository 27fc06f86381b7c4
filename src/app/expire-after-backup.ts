import { isOperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { Configuration } from '../config/configuration-schema.ts'
import { hasRules } from '../retention/keep-rules.ts'
import { describeKept } from '../retention/kept-bytes.ts'
import { expireRepo, type ExpiredRepo } from './expire-cluster.ts'
import type { ClusterRepository } from './open-cluster.ts'

/**
 * Expires in the repository that a backup was just taken into, when rules are set and want it. Never throws for a failure of
 * the world: the backup is complete, and what could not be forgotten now can be later.
 */
export async function expireAfterBackup(
  rules: Configuration['keep'],
  place: ClusterRepository,
  context: RunContext,
): Promise<void> {
  if (!rules.afterBackup || !hasRules(rules)) return
  try {
    const request = { rules, isDryRun: false, confirmed: undefined, acceptsClock: false }
    const expired = await expireRepo(request, place, context)
    const { applied, failure } = expired
    for (const message of notesOf(expired)) context.report({ kind: 'note', message })
    if (failure !== undefined) warn(failure, context, applied === undefined ? nothingExpired : onlyNotSwept)
  } catch (error) {
    warn(error, context, nothingExpired)
  }
}

const notesOf = ({ applied, swept }: ExpiredRepo): readonly string[] => [
  ...(applied?.removed ?? []).map((label) => `backup ${label} has expired`),
  ...(swept?.kept ?? []).map(describeKept),
]

const nothingExpired = 'nothing was expired after it'
const onlyNotSwept = 'what expired after it and before could not be deleted yet'

function warn(error: unknown, context: RunContext, what: string): void {
  if (!isOperationError(error) && !context.signal.aborted) throw error
  const message = error instanceof Error ? error.message : String(error)
  context.report({
    kind: 'warning',
    message: `the backup is complete, but ${what}: ${message}`,
    hint:
      (isOperationError(error) ? error.hint : undefined) ?? 'Run "holdfast expire" to see what it is about.',
  })
}
