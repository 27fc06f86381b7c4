import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { BackupLabel } from '../domain/backup-label.ts'
import { hasSystemCode, replaceDurably } from '../platform/durable-file.ts'

/** Stands in a directory, of the cluster and of each tablespace, from before the first change until it is complete. */
export const markerFile = 'holdfast-restore-in-progress'

/** The control file has this name, below the data directory, until everything else is there (R47). */
export const pendingControlFile = 'global/holdfast-pg_control'

/** The log of the server that recovers; it stays when recovery fails. */
export const recoveryLog = 'holdfast-recovery.log'

export interface RestoreMarker {
  readonly systemIdentifier: string
  readonly backup: BackupLabel
}

/** From now on the directory belongs to this restore: another attempt may change anything in it. */
export async function writeMarker(
  directory: string,
  { systemIdentifier, backup }: RestoreMarker,
): Promise<void> {
  const text = `${JSON.stringify({ version: 1, systemIdentifier, backup })}\n`
  await replaceDurably(join(directory, markerFile), Buffer.from(text), 0o600)
}

/** The system identifier in a directory's marker; undefined when there is none that can be read. */
export async function readMarker(directory: string): Promise<string | undefined> {
  try {
    const value: unknown = JSON.parse(await readFile(join(directory, markerFile), 'utf8'))
    const isMarker = typeof value === 'object' && value !== null && 'systemIdentifier' in value
    return isMarker && typeof value.systemIdentifier === 'string' ? value.systemIdentifier : undefined
  } catch (error) {
    if (error instanceof SyntaxError || hasSystemCode(error, 'ENOENT', 'ENOTDIR')) return undefined
    throw error
  }
}
