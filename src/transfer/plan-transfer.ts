import { nounOf, type BackupLabel } from '../domain/backup-label.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { Instant } from '../domain/target-time.ts'
import type { BackupEntry, ListedBackup } from '../repository/backup-entry.ts'
import { labelsOf, type Catalogue } from '../repository/catalogue.ts'
import type { DumpEntry, ListedDump } from '../repository/dump-entry.ts'

type Listed = Pick<Catalogue, 'backups' | 'dumps'>

export interface TransferFacts {
  /** What the repository lists that is copied from, and the one that is copied to. */
  readonly source: Listed
  readonly target: Listed
  /** What the target has ever listed, as far as its catalogue still tells: what it lists no more was expired there. */
  readonly everListed: ReadonlySet<BackupLabel>
  /** From when on the target's catalogue tells that; undefined: from its beginning. */
  readonly toldSince: Instant | undefined
  /** Backups and dumps that are asked for by name, also when the target has forgotten them; empty: all that it lacks. */
  readonly wanted: readonly BackupLabel[]
}

export interface TransferPlan {
  /** Oldest first. */
  readonly backups: readonly ListedBackup[]
  /** Oldest first. */
  readonly dumps: readonly ListedDump[]
  /** What the target has forgotten, or may have before its catalogue tells: it is not brought back unless it is asked for. */
  readonly forgotten: readonly BackupLabel[]
  /**
   * Labels that both list for two different backups or dumps. Labels are unique within a repository: two backups into two of
   * them that began in the same second may have the same.
   */
  readonly twins: readonly BackupLabel[]
}

/**
 * Which backups and dumps are copied: what the source lists, and the target does not and has not forgotten. Throws `not-found`
 * for a wanted one that the source does not list.
 */
export function planTransfer(facts: TransferFacts): TransferPlan {
  const { source, target, wanted } = facts
  for (const label of wanted) requireListed(label, source)
  const backups = planKind(facts, { source: source.backups, target: target.backups, isOther: isTwin })
  const dumps = planKind(facts, { source: source.dumps, target: target.dumps, isOther: isOtherDump })
  return {
    backups: backups.lacking,
    dumps: dumps.lacking,
    forgotten: [...backups.forgotten, ...dumps.forgotten],
    twins: [...backups.twins, ...dumps.twins],
  }
}

/** What both list of one kind. */
interface Kind<One> {
  readonly source: readonly One[]
  readonly target: readonly One[]
  readonly isOther: (here: One, there: One | undefined) => boolean
}

function planKind<One extends ListedBackup | ListedDump>(
  { everListed, toldSince, wanted }: TransferFacts,
  { source, target, isOther }: Kind<One>,
): Pick<TransferPlan, 'forgotten' | 'twins'> & { readonly lacking: readonly One[] } {
  const there = new Map(target.map((one) => [one.label, one]))
  const chosen = wanted.length === 0 ? source : source.filter(({ label }) => wanted.includes(label))
  const isForgotten = ({ label, stoppedAt }: One): boolean =>
    wanted.length === 0 && (everListed.has(label) || (toldSince !== undefined && stoppedAt < toldSince))
  const lacking = chosen
    .filter(({ label }) => !there.has(label))
    .toSorted((one, other) => Number(one.startedAt - other.startedAt))
  return {
    lacking: lacking.filter((one) => !isForgotten(one)),
    forgotten: lacking.filter(isForgotten).map(({ label }) => label),
    twins: chosen.filter((one) => isOther(one, there.get(one.label))).map(({ label }) => label),
  }
}

/** Throws `not-found`. */
export function requireListed(label: BackupLabel, source: Listed): void {
  if (!labelsOf(source).has(label)) throw unlisted(label)
}

export function unlisted(label: BackupLabel): OperationError {
  const noun = nounOf(label)
  return new OperationError('not-found', `copying ${noun} ${label}: the repository does not list it`, {
    hint: `Run "holdfast info" to see which ${noun}s there are.`,
  })
}

const backupFacts = ['startLsn', 'stopLsn', 'timeline', 'startedAt', 'restoredBytes'] as const
type BackupFacts = Pick<BackupEntry, (typeof backupFacts)[number]>

/** Whether two backups of one label are different ones. */
export function isTwin(one: BackupFacts, other: BackupFacts | undefined): boolean {
  if (other === undefined) return false
  return backupFacts.some((fact) => one[fact] !== other[fact])
}

const dumpFacts = ['startedAt', 'stoppedAt', 'databaseCount', 'rawBytes'] as const
type DumpFacts = Pick<DumpEntry, (typeof dumpFacts)[number]>

/** Whether two dumps of one label are different ones. */
export function isOtherDump(one: DumpFacts, other: DumpFacts | undefined): boolean {
  if (other === undefined) return false
  return dumpFacts.some((fact) => one[fact] !== other[fact])
}
