import { OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'
import type { ClusterConfiguration } from './select-configured.ts'

/** Ends a sentence: what "load" does for who wanted something of the past. */
export const loadInstead =
  'Bring a dump into a database of its own with "holdfast load LABEL --as NAME --create"; "holdfast info" lists them.'

/** Refuses what needs physical backups or WAL, for a cluster of which there are dumps only. Throws `config-invalid`. */
export function requirePhysical(
  { name, logicalOnly }: Pick<ClusterConfiguration, 'name' | 'logicalOnly'>,
  { doing, hint }: { readonly doing: string; readonly hint: string },
): void {
  if (!logicalOnly) return
  throw new OperationError(
    'config-invalid',
    `${doing} cluster ${quote(name)}: expected one with physical backups, found one for dumps only (logical-only)`,
    { hint },
  )
}
