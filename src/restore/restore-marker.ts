import { link, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { BackupLabel } from '../domain/backup-label.ts'
import { OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'
import { hasSystemCode, publishDurably, replaceDurably } from '../platform/durable-file.ts'
import { freshName } from '../platform/random.ts'
import {
  isGoneFromThisMachine,
  readProcessIdentity,
  type ProcessIdentity,
} from '../platform/process-identity.ts'

/** Stands in a directory, of the cluster and of each tablespace, from before the first change until it is complete. */
export const markerFile = 'holdfast-restore-in-progress'

/** Where the marker of a dead restore goes when another one takes the directory over; counts where there is no newer one. */
export const supersededMarkerFile = `${markerFile}.old`

/** The control file has this name, below the data directory, until everything else is there (R47). */
export const pendingControlFile = 'global/holdfast-pg_control'

/** The log of the server that recovers; it stays when recovery fails. */
export const recoveryLog = 'holdfast-recovery.log'

export interface RestoreMarker {
  readonly systemIdentifier: string
  readonly backup: BackupLabel
  /** Of the cluster that is restored: a tablespace is taken up together with it only. */
  readonly dataDirectory: string
  readonly recovered?: Recovered | undefined
}

/** Stands in the marker of a data directory from before the promotion on: then only the clean-up is left to do. */
export interface Recovered {
  /** What was asked for, by `goalOf`. */
  readonly goal: string
  readonly lsn: string
  /** As the server prints it. */
  readonly commitTime?: string | undefined
}

/** What a marker says that a restore left when it ended before it was done. */
export interface LeftMarker {
  readonly systemIdentifier: string
  /** Undefined when the marker does not say. */
  readonly dataDirectory: string | undefined
  readonly recovered: Recovered | undefined
}

/** A directory that belongs to this process until it is given back or the restore is done. */
export interface Claim {
  readonly directory: string
  /** What was there before: of a restore that is dead. */
  readonly left: LeftMarker | undefined
  /** Our marker. */
  readonly bytes: Uint8Array
}

/**
 * Marks the directory as ours. Of several restores that try it at the same time one wins, the others get `busy`. When this
 * process is dead the directory belongs to whoever restores the same cluster again.
 */
export async function claimDirectory(directory: string, marker: RestoreMarker): Promise<Claim> {
  const fields = { version: 1, ...marker, holder: readProcessIdentity(), token: freshName() }
  const bytes = Buffer.from(`${JSON.stringify(fields)}\n`)
  await readMarker(directory)
  const left = await supersedeMarker(directory)
  // Dying here leaves the old marker under its second name, where it is found as well.
  const answer = await publishDurably(join(directory, markerFile), bytes, 0o600)
  if (answer === 'exists') throw busy(directory, 'another restore was quicker')
  await giveWay(directory, bytes)
  return { directory, left, bytes }
}

/**
 * Removes our marker again when it got its name only because somebody had moved another one aside for a moment, which is
 * of a restore that lives: its holder has looked already, and may be at work.
 */
async function giveWay(directory: string, own: Uint8Array): Promise<void> {
  try {
    await readMarkerFile(directory, supersededMarkerFile)
  } catch (error) {
    // Ours was moved aside and is back.
    if (await holds(join(directory, supersededMarkerFile), own)) return
    await rm(join(directory, markerFile), { force: true })
    throw error
  }
}

/** Moves the marker of a dead restore away. Only one of several that try finds it. */
async function supersedeMarker(directory: string): Promise<LeftMarker | undefined> {
  const [path, superseded] = [join(directory, markerFile), join(directory, supersededMarkerFile)]
  try {
    await rename(path, superseded)
  } catch (error) {
    if (!hasSystemCode(error, 'ENOENT')) throw error
    return readMarker(directory)
  }
  try {
    return await readMarkerFile(directory, supersededMarkerFile)
  } catch (error) {
    // Since we looked somebody has done the same and put a new one there: it gets its name back.
    await link(superseded, path).catch(() => undefined) // it may have another one by now
    throw error
  }
}

/** Notes in our own marker that recovery has come to what was asked for. Durable when this resolves. */
export async function noteRecovered(directory: string, recovered: Recovered): Promise<void> {
  const path = join(directory, markerFile)
  const fields = { ...Object.fromEntries(await readFields(path)), recovered }
  await replaceDurably(path, Buffer.from(`${JSON.stringify(fields)}\n`), 0o600)
}

/** Whether nobody has taken the directory from us. */
export function isHeld({ directory, bytes }: Claim): Promise<boolean> {
  return holds(join(directory, markerFile), bytes)
}

async function holds(path: string, bytes: Uint8Array): Promise<boolean> {
  try {
    return Buffer.compare(await readFile(path), bytes) === 0
  } catch (error) {
    if (hasSystemCode(error, 'ENOENT')) return false
    throw error
  }
}

/** Gives back a directory in which nothing was changed, with the marker that it had. */
export async function releaseDirectory(claim: Claim): Promise<void> {
  if (!(await isHeld(claim))) return
  const path = join(claim.directory, markerFile)
  if (claim.left === undefined) await rm(path, { force: true })
  else await rename(join(claim.directory, supersededMarkerFile), path)
}

/** Undefined when there is none that can be read. Throws `busy` when the restore that wrote it may still run. */
export async function readMarker(directory: string): Promise<LeftMarker | undefined> {
  return (
    (await readMarkerFile(directory, markerFile)) ?? (await readMarkerFile(directory, supersededMarkerFile))
  )
}

async function readMarkerFile(directory: string, name: string): Promise<LeftMarker | undefined> {
  const path = join(directory, name)
  const fields = await readFields(path)
  const systemIdentifier = fields.get('systemIdentifier')
  if (typeof systemIdentifier !== 'string') return undefined
  const [dataDirectory, holder] = [fields.get('dataDirectory'), fields.get('holder')]
  // A data directory is one machine's, so a process of an earlier boot is gone.
  if (isIdentity(holder) && !isGoneFromThisMachine(holder, readProcessIdentity())) {
    throw busy(
      directory,
      `another restore works there, process ${holder.pid} on host ${quote(holder.host)}`,
      `Wait for it; if it is gone for certain, remove the file ${quote(path)} and everything else that it left there.`,
    )
  }
  return {
    systemIdentifier,
    dataDirectory: typeof dataDirectory === 'string' ? dataDirectory : undefined,
    recovered: toRecovered(fields.get('recovered')),
  }
}

export function busy(
  directory: string,
  why: string,
  hint = 'Nothing was changed; run the command again.',
): OperationError {
  return new OperationError('busy', `restoring into ${quote(directory)}: ${why}`, { hint })
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

function toRecovered(value: unknown): Recovered | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const fields = new Map<string, unknown>(Object.entries(value))
  const [goal, lsn, commitTime] = [fields.get('goal'), fields.get('lsn'), fields.get('commitTime')]
  if (typeof goal !== 'string' || typeof lsn !== 'string') return undefined
  return { goal, lsn, commitTime: typeof commitTime === 'string' ? commitTime : undefined }
}

function isIdentity(value: unknown): value is ProcessIdentity {
  if (typeof value !== 'object' || value === null) return false
  const fields = new Map<string, unknown>(Object.entries(value))
  return (
    ['host', 'bootId', 'pidNamespace', 'startTicks'].every((name) => typeof fields.get(name) === 'string') &&
    typeof fields.get('pid') === 'number'
  )
}
