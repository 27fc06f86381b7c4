import { isOperationError } from '../domain/operation-error.ts'
import type { BackupLabel } from '../domain/backup-label.ts'
import type { RunContext } from '../domain/run-context.ts'
import { inOrder } from '../platform/in-order.ts'
import type { Catalogue } from '../repository/catalogue.ts'
import { contentsOf, type DumpContents } from '../repository/dump-contents.ts'
import type { ListedDump } from '../repository/dump-entry.ts'
import { readDumpHead } from '../repository/dump-reader.ts'
import { hasRules, type KeepRules } from '../retention/keep-rules.ts'
import { planExpireDumps, type DumpExpirePlan, type DumpKnowledge } from '../retention/plan-expire-dumps.ts'
import type { ExpireFacts } from './expire-facts.ts'
import type { ClusterRepository } from './open-cluster.ts'

/** What was planned for the dumps of one repository, and how far it came. */
export interface ExpiredDumps {
  /** Before anything changed. */
  readonly listed: readonly ListedDump[]
  readonly plan: DumpExpirePlan
  /** Undefined: a dry run, or it was refused. */
  readonly removed: readonly BackupLabel[] | undefined
}

interface PlannedDumps {
  readonly expired: ExpiredDumps
  readonly decide: (catalogue: Catalogue) => DumpExpirePlan
}

/** Reads what each dump holds, unless no rule asks for it, and plans. Changes nothing. */
export async function planDumps(
  { rules, facts }: { readonly rules: KeepRules; readonly facts: ExpireFacts },
  place: ClusterRepository,
  context: RunContext,
): Promise<PlannedDumps> {
  const { catalogue, knowledge, damaged } = facts
  const contents = hasRules(rules) ? await readContents(catalogue.dumps, place, context) : new Map()
  const known: DumpKnowledge = { ...knowledge, contents, damaged }
  const decide = (newest: Catalogue): DumpExpirePlan => planExpireDumps(newest, rules, known)
  const plan = decide(catalogue)
  return { expired: { listed: catalogue.dumps, plan, removed: undefined }, decide }
}

/** So many heads are read at once: most are small, and some have megabytes. */
const mostHeads = 4

/** Not of those that do not tell. */
async function readContents(
  dumps: readonly ListedDump[],
  place: ClusterRepository,
  context: RunContext,
): Promise<ReadonlyMap<BackupLabel, DumpContents>> {
  const all = inOrder(dumps, { limit: mostHeads, context }, async (dump, within) => {
    const contents = await readOne(dump, place, within)
    return { label: dump.label, contents }
  })
  const known = new Map<BackupLabel, DumpContents>()
  for await (const { label, contents } of all) if (contents !== undefined) known.set(label, contents)
  return known
}

/** A head that is damaged, or of a newer version, keeps its dump and holds up no other. */
async function readOne(
  dump: ListedDump,
  place: ClusterRepository,
  context: RunContext,
): Promise<DumpContents | undefined> {
  try {
    return contentsOf(await readDumpHead(place, dump, context))
  } catch (error) {
    if (isOperationError(error, 'damaged') || isOperationError(error, 'format-newer')) return undefined
    throw error
  }
}
