import { isOperationError, OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'
import type { RunContext } from '../domain/run-context.ts'
import { connect, type PostgresSession } from '../postgres/connection.ts'
import type { RestoreTools } from '../restore/run-restore.ts'
import { chooseLeftOut, type NeededTables } from './choose-left-out.ts'
import { openSandbox, type Sandbox, type SandboxRequest } from './open-sandbox.ts'
import { findUnrestored, forgetIndexes, tryReading } from './prove-restored.ts'
import { findTables } from './rescue-tables.ts'
import type { FoundTable } from './table-definition.ts'

export interface TableSandbox {
  readonly sandbox: Sandbox
  /** Why everything was restored after all; undefined: it was not. */
  readonly wholeBecause: string | undefined
}

/**
 * A sandbox to read these tables in, with as few files as they need. Before it is handed out it is proven that recovery
 * missed no page but those of files that were left out, and that nothing of the tables, of their TOAST tables and of the
 * catalogs is among these. Whatever goes wrong on this way, everything is restored instead. The caller disposes the sandbox.
 * Throws what `openSandbox` throws, and `not-found` and `usage` for tables.
 */
export async function openTableSandbox(
  { needed, ...request }: SandboxRequest & { readonly needed: NeededTables },
  tools: RestoreTools,
  context: RunContext,
): Promise<TableSandbox> {
  const partial = await tryPartial({ needed, ...request }, tools, context)
  if (partial.kind === 'open') return { sandbox: partial.sandbox, wholeBecause: undefined }
  const { reason } = partial
  context.report({
    kind: 'warning',
    message: `the fast way is not possible, restoring everything: ${reason}`,
  })
  return { sandbox: await openSandbox(request, tools, context), wholeBecause: reason }
}

type Attempt =
  | { readonly kind: 'open'; readonly sandbox: Sandbox }
  | { readonly kind: 'failed'; readonly reason: string }

async function tryPartial(
  { needed, ...request }: SandboxRequest & { readonly needed: NeededTables },
  tools: RestoreTools,
  context: RunContext,
): Promise<Attempt> {
  const leaveOut: SandboxRequest['leaveOut'] = (backup, within) =>
    chooseLeftOut(needed, { backup, place: tools.place }, within)
  await using opened = new AsyncDisposableStack()
  const attempt = await orReason(() => openSandbox({ ...request, leaveOut }, tools, context), context)
  if (attempt.kind === 'failed') return attempt
  const sandbox = opened.use(attempt.result)
  await using session = await connect({ ...sandbox.conninfo, dbname: needed.database }, context)
  // The catalogs are whole: that a table is not there is true.
  const found = await findTables(needed.tables, session)
  const proof = await orReason(() => makeReadable(session, sandbox, found), context)
  if (proof.kind === 'failed') return proof
  opened.move()
  return { kind: 'open', sandbox }
}

/** What was damaged, failed or was not found has a second way. What the whole restore would refuse as well has none. */
async function orReason<Result>(
  work: () => Promise<Result>,
  { signal }: RunContext,
): Promise<{ readonly kind: 'done'; readonly result: Result } | Extract<Attempt, { kind: 'failed' }>> {
  try {
    return { kind: 'done', result: await work() }
  } catch (error) {
    if (signal.aborted || !hasSecondWay(error)) throw error
    return { kind: 'failed', reason: error.message }
  }
}

function hasSecondWay(error: unknown): error is OperationError {
  // A list of names may be of a newer version than the backup.
  return isOperationError(error) && ([1, 4, 6].includes(error.exitCode) || error.code === 'format-newer')
}

async function makeReadable(
  session: PostgresSession,
  { plan: { leftOut } }: Sandbox,
  found: readonly FoundTable[],
): Promise<void> {
  if (leftOut === undefined) return
  const missing = await findUnrestored(session, { found, leftOut })
  if (missing !== undefined)
    throw new OperationError('not-found', `the rows need ${quote(missing)}, which was left out`)
  await forgetIndexes(session, found)
  await tryReading(session, found)
}
