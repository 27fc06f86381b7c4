import { isConnectionLoss } from './server-session.ts'

/** What was looked at. */
export interface FullCheckReport {
  readonly databases: number
  /** Tables, materialized views and TOAST tables, catalogs included. */
  readonly tables: number
  readonly indexes: number
  /** Blocks of all forks of all relations, each read through the buffer cache, which verifies its checksum. */
  readonly blocks: number
  readonly rows: number
  readonly ledgerRows: number
}

/** Where the parts of the check put what they find. */
export interface Findings {
  readonly violations: string[]
  readonly counts: Record<keyof FullCheckReport, number>
}

/** Runs one check; an error of the server is what it found. A lost connection ends the whole check. */
export async function collect(
  { violations }: Findings,
  what: string,
  check: () => Promise<string | undefined>,
): Promise<void> {
  try {
    const found = await check()
    if (found !== undefined) violations.push(`${what}: ${found}`)
  } catch (error) {
    if (isConnectionLoss(error)) throw new Error(`${what}: the server went away`, { cause: error })
    violations.push(`${what}: ${String(error)}`)
  }
}
