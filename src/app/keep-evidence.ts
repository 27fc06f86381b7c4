import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { AuditDifferences } from '../backup/refuse-unnamed-changes.ts'
import { isOperationError, type OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { replaceDurably } from '../platform/durable-file.ts'
import { findStateDirectories } from './state-directory.ts'

/** What is kept of a failed audit: two pages of 8 KiB for each difference. */
const mostKept = 100

/** Writes what an audit found into the state directory. Gives the file, or undefined when there is no place for it. */
export async function keepEvidence(
  failure: OperationError,
  { cluster, stateDirectory }: { readonly cluster: string; readonly stateDirectory: string | undefined },
  { clock, report }: RunContext,
): Promise<string | undefined> {
  const differences = failure.cause instanceof AuditDifferences ? failure.cause.differences : []
  const evidence = {
    message: failure.message,
    foundAt: new Date(clock.now()).toISOString(),
    differences: differences.slice(0, mostKept),
  }
  const [folder] = await findStateDirectories(stateDirectory)
  if (folder === undefined) return undefined
  const path = join(folder, `audit-${cluster}-${clock.now()}.json`)
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    await replaceDurably(path, Buffer.from(JSON.stringify(evidence, undefined, 1)), 0o600)
    return path
  } catch (error) {
    if (!isOperationError(error) && !(error instanceof Error && 'code' in error)) throw error
    report({ kind: 'warning', message: `what the audit found cannot be kept: ${String(error)}` })
    return undefined
  }
}
