import type { BackupLabel } from '../domain/backup-label.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { FileCopier } from './copy-files.ts'
import type { AuditBounds } from './copy-protocol.ts'
import { judgeAudit, type AuditDifference } from './judge-audit.ts'
import type { Lineage } from './plan-incremental.ts'
import type { Scan } from './scan.ts'

interface Audited {
  readonly copier: Pick<FileCopier, 'unexpected' | 'unexpectedCount'>
  readonly scan: Scan
  readonly lineage: Lineage | undefined
  /** Undefined when this is no audit. */
  readonly bounds: AuditBounds | undefined
  readonly label: BackupLabel
}

/** What an audit found, as the cause of its failure. */
export class AuditDifferences extends Error {
  override readonly name = 'AuditDifferences'
  readonly differences: readonly AuditDifference[]

  constructor(differences: readonly AuditDifference[]) {
    super(`${differences.length} blocks changed without being named`)
    this.differences = differences
  }
}

/** Throws `audit-failed` when a block changed that the WAL, as we read it, does not name: no incremental may go on then. */
export async function refuseUnnamedChanges(
  { copier, scan, lineage, bounds, label }: Audited,
  context: RunContext,
): Promise<void> {
  if (lineage === undefined || bounds === undefined) return
  const { unexpected, unexpectedCount } = copier
  const differences = await judgeAudit({ unexpected, scan, bounds, lineage }, context)
  const [first] = differences
  const parent = lineage.head.backup.label
  if (first === undefined) {
    const hints = bounds.hasSilentHints
      ? `; ${unexpectedCount} pages differ by hint bits, as far as was looked`
      : ''
    context.report({
      kind: 'note',
      message: `audited: what the WAL names is all that has changed since backup ${parent}${hints}`,
    })
    return
  }
  const others = `${differences.length}${unexpectedCount > unexpected.length ? ' or more' : ''} others`
  throw new OperationError(
    'audit-failed',
    `auditing backup ${label}: expected only blocks to differ from backup ${parent} that the WAL names, found ${others}, such as block ${first.block} of ${first.path} with LSN ${first.pageLsn}`,
    {
      cause: new AuditDifferences(differences),
      hint: 'Report this with what was kept of it; until it is explained, take full backups with "--type full".',
    },
  )
}
