import { isOperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { Configuration } from '../config/configuration-schema.ts'
import { hasRules, noRules, type KeepRules } from '../retention/keep-rules.ts'
import { describeKept } from '../retention/kept-bytes.ts'
import { expireRepo, type ExpiredRepo } from './expire-cluster.ts'
import type { ClusterRepository } from './open-cluster.ts'

/**
 * Expires in the repository that a backup was just taken into, when rules are set and want it. Never throws for a failure of
 * the world: the backup is complete, and what could not be forgotten now can be later.
 */
export async function expireAfterBackup(
  rules: Omit<Configuration['keep'], 'dumps'>,
  place: ClusterRepository,
  context: RunContext,
): Promise<void> {
  if (!rules.afterBackup || !hasRules(rules)) return
  await expireAfter({ noun: 'backup', rules, dumpRules: noRules }, place, context)
}

interface After {
  /** What was just taken. */
  readonly noun: 'backup' | 'dump'
  readonly rules: KeepRules
  readonly dumpRules: KeepRules
}

/** Expires, and turns a failure of the world into a warning: what was taken is complete. */
export async function expireAfter(
  { noun, ...rules }: After,
  place: ClusterRepository,
  context: RunContext,
): Promise<void> {
  const warn = (error: unknown, what: string): void =>
    warnOf(error, `the ${noun} is complete, but ${what}`, context)
  try {
    const request = { ...rules, isDryRun: false, confirmed: undefined, acceptsClock: false }
    const expired = await expireRepo(request, place, context)
    const { applied, failure } = expired
    for (const message of notesOf(expired)) context.report({ kind: 'note', message })
    if (failure !== undefined) warn(failure, applied === undefined ? nothingExpired : onlyNotSwept)
  } catch (error) {
    warn(error, nothingExpired)
  }
}

const notesOf = ({ applied, dumps, swept }: ExpiredRepo): readonly string[] => [
  ...(applied?.removed ?? []).map((label) => `backup ${label} has expired`),
  ...(dumps.removed ?? []).map((label) => `dump ${label} has expired`),
  ...(swept?.kept ?? []).map(describeKept),
]

const nothingExpired = 'nothing was expired after it'
const onlyNotSwept = 'what expired after it and before could not be deleted yet'

function warnOf(error: unknown, what: string, context: RunContext): void {
  if (!isOperationError(error) && !context.signal.aborted) throw error
  const message = error instanceof Error ? error.message : String(error)
  context.report({
    kind: 'warning',
    message: `${what}: ${message}`,
    hint:
      (isOperationError(error) ? error.hint : undefined) ?? 'Run "holdfast expire" to see what it is about.',
  })
}
