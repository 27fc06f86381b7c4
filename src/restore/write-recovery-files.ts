import { readFile, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { OperationError } from '../domain/operation-error.ts'
import { hasSystemCode, replaceDurably } from '../platform/durable-file.ts'
import { rewriteAutoConf } from '../postgres/auto-conf.ts'
import { controlFileBytes, poisonControlFile } from '../postgres/control-file.ts'
import { autoConfPath, controlFilePath } from './check-entry.ts'
import { emptiedTargets } from './recovery-settings.ts'
import { pendingControlFile } from './restore-marker.ts'

interface RecoveryFiles {
  /** Byte for byte as the server gave it (R4). */
  readonly backupLabel: Uint8Array
  /** Empty: there is none. */
  readonly tablespaceMap: Uint8Array
  readonly settings: Readonly<Record<string, string>>
}

/** Everything that makes the restored files a cluster that will recover: label, map, configuration, signal (R45). */
export async function writeRecoveryFiles(
  dataDirectory: string,
  { backupLabel, tablespaceMap, settings }: RecoveryFiles,
): Promise<void> {
  await replaceDurably(join(dataDirectory, 'backup_label'), backupLabel, 0o600)
  if (tablespaceMap.length > 0)
    await replaceDurably(join(dataDirectory, 'tablespace_map'), tablespaceMap, 0o600)
  await writeRecoveryTarget(dataDirectory, settings)
  await replaceDurably(join(dataDirectory, 'recovery.signal'), new Uint8Array(), 0o600)
}

/** The settings of a recovery, in place of those of an earlier one. */
export async function writeRecoveryTarget(
  dataDirectory: string,
  settings: Readonly<Record<string, string>>,
): Promise<void> {
  await writeAutoConf(dataDirectory, { ...emptiedTargets(settings), ...settings })
}

/** Puts our settings into postgresql.auto.conf and keeps everything else but what earlier recoveries left (R44). */
export async function writeAutoConf(
  dataDirectory: string,
  settings: Readonly<Record<string, string>>,
): Promise<void> {
  const path = join(dataDirectory, autoConfPath)
  await replaceDurably(path, rewriteAutoConf(await readIfThere(path), settings), 0o600)
}

/** Gives the control file its name, with a checkpoint that exists nowhere: only backup_label can start it (R57). */
export async function writeControlFile(dataDirectory: string, sizeBytes: number): Promise<void> {
  const pending = join(dataDirectory, pendingControlFile)
  const content = await readFile(pending)
  if (sizeBytes !== controlFileBytes) {
    throw new OperationError(
      'damaged',
      `restoring the control file: expected ${controlFileBytes} bytes, found ${sizeBytes}`,
      {
        hint: 'Restore from another backup.',
      },
    )
  }
  const poisoned = poisonControlFile(content)
  await unlink(pending)
  await replaceDurably(join(dataDirectory, controlFilePath), poisoned, 0o600)
}

async function readIfThere(path: string): Promise<Buffer> {
  try {
    return await readFile(path)
  } catch (cause) {
    if (hasSystemCode(cause, 'ENOENT')) return Buffer.alloc(0)
    throw new OperationError('file-unreadable', `reading "${path}": ${String(cause)}`, { cause })
  }
}
