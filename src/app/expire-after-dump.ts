import type { Configuration } from '../config/configuration-schema.ts'
import type { RunContext } from '../domain/run-context.ts'
import { hasRules, noRules } from '../retention/keep-rules.ts'
import { expireAfter } from './expire-after-backup.ts'
import type { ClusterRepository } from './open-cluster.ts'

/**
 * Expires dumps in the repository that one was just taken into, when rules are set and want it. Never throws for a failure of
 * the world, as `expireAfterBackup`.
 */
export async function expireAfterDump(
  rules: Configuration['keep']['dumps'],
  place: ClusterRepository,
  context: RunContext,
): Promise<void> {
  if (!rules.afterDump || !hasRules(rules)) return
  await expireAfter({ noun: 'dump', rules: noRules, dumpRules: rules }, place, context)
}
