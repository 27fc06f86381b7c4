import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { BackupLabel } from '../domain/backup-label.ts'
import { OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'
import { hasSystemCode, replaceDurably } from '../platform/durable-file.ts'
import { isProvablyDead, readProcessIdentity, type ProcessIdentity } from '../platform/process-identity.ts'

/** Stands in a directory, of the cluster and of each tablespace, from before the first change until it is complete. */
export const markerFile = 'holdfast-restore-in-progress'

/** The control file has this name, below the data directory, until everything else is there (R47). */
export const pendingControlFile = 'global/holdfast-pg_control'

/** The log of the server that recovers; it stays when recovery fails. */
export const recoveryLog = 'holdfast-recovery.log'

export interface RestoreMarker {
  readonly systemIdentifier: string
  readonly backup: BackupLabel
  /** Of the cluster that is restored: a tablespace is taken up together with it only. */
  readonly dataDirectory: string
}

/** What a marker says that a restore left when it ended before it was done. */
export interface LeftMarker {
  readonly systemIdentifier: string
  /** Undefined when the marker does not say. */
  readonly dataDirectory: string | undefined
}

/** From now on the directory belongs to this process; when it is dead, to whoever restores the same cluster again. */
export async function writeMarker(
  directory: string,
  { systemIdentifier, backup, dataDirectory }: RestoreMarker,
): Promise<void> {
  const marker = { version: 1, systemIdentifier, backup, dataDirectory, holder: readProcessIdentity() }
  await replaceDurably(join(directory, markerFile), Buffer.from(`${JSON.stringify(marker)}\n`), 0o600)
}

/** Undefined when there is none that can be read. Throws `busy` when the restore that wrote it may still run. */
export async function readMarker(directory: string): Promise<LeftMarker | undefined> {
  const fields = await readFields(join(directory, markerFile))
  const systemIdentifier = fields.get('systemIdentifier')
  if (typeof systemIdentifier !== 'string') return undefined
  const [dataDirectory, holder] = [fields.get('dataDirectory'), fields.get('holder')]
  if (!isIdentity(holder) || isProvablyDead(holder, readProcessIdentity())) {
    return {
      systemIdentifier,
      dataDirectory: typeof dataDirectory === 'string' ? dataDirectory : undefined,
    }
  }
  throw new OperationError(
    'busy',
    `restoring into ${quote(directory)}: another restore works there, process ${holder.pid} on host ${quote(holder.host)}`,
    {
      hint: `Wait for it; if it is gone for certain, remove the file "${markerFile}" there and name an empty directory.`,
    },
  )
}

async function readFields(path: string): Promise<ReadonlyMap<string, unknown>> {
  try {
    const value: unknown = JSON.parse(await readFile(path, 'utf8'))
    return new Map(typeof value === 'object' && value !== null ? Object.entries(value) : [])
  } catch (error) {
    if (error instanceof SyntaxError || hasSystemCode(error, 'ENOENT', 'ENOTDIR')) return new Map()
    throw error
  }
}

function isIdentity(value: unknown): value is ProcessIdentity {
  if (typeof value !== 'object' || value === null) return false
  const fields = new Map<string, unknown>(Object.entries(value))
  return (
    ['host', 'bootId', 'pidNamespace', 'startTicks'].every((name) => typeof fields.get(name) === 'string') &&
    typeof fields.get('pid') === 'number'
  )
}
