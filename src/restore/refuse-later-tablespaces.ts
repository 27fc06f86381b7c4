import { open, readdir, readlink, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'
import { hasSystemCode } from '../platform/durable-file.ts'
import type { ManifestHead } from '../repository/manifest-head.ts'

export interface LaterTablespacesRequest {
  readonly targetDirectory: string
  readonly head: Pick<ManifestHead, 'systemIdentifier' | 'tablespaces'> & {
    readonly backup: Pick<ManifestHead['backup'], 'label'>
  }
  /** Of the cluster, where the configuration says so; it need not be on this host. */
  readonly clusterDirectory: string | undefined
}

/** A data directory, and how to reach it: a process in a container has it under another path. */
interface DataDirectory {
  readonly path: string
  readonly reach: string
}

/**
 * Recovery makes a tablespace that is later than the backup where it was, whatever is there, and writes into it (R14): so
 * none may be there of a cluster with the same history on this host, neither of the configured one nor of one that
 * runs. Whether recovery comes as far is known only when it has; that the target is before it is not taken into account.
 */
export async function refuseLaterTablespaces(request: LaterTablespacesRequest): Promise<void> {
  const { targetDirectory, head, clusterDirectory } = request
  const known = new Set(head.tablespaces.map(({ oid }) => String(oid)))
  const seen = new Set([await identityOf(targetDirectory)])
  const configured =
    clusterDirectory === undefined ? [] : [{ path: clusterDirectory, reach: clusterDirectory }]
  for (const directory of [...configured, ...(await findWorkingDirectories())]) {
    const identity = await identityOf(directory.reach)
    if (identity === undefined || seen.has(identity)) continue
    seen.add(identity)
    if ((await systemIdentifierIn(directory.reach)) !== head.systemIdentifier) continue
    for (const [oid, location] of await linkedTablespaces(directory.reach)) {
      if (!known.has(oid) && (await isOccupied(location)))
        throw wouldBeWrittenOver({ oid, location }, directory, request)
    }
  }
}

/** A server stands in its data directory, so it is among these; those of other users cannot be seen, nor written to. */
async function findWorkingDirectories(): Promise<readonly DataDirectory[]> {
  const processes = (await unlessUnseen(readdir('/proc'))) ?? [] // not there: not Linux
  const found: DataDirectory[] = []
  for (const pid of processes.filter((name) => /^\d+$/.test(name))) {
    const reach = `/proc/${pid}/cwd`
    const path = await unlessUnseen(readlink(reach))
    if (path !== undefined) found.push({ path, reach })
  }
  return found
}

async function identityOf(path: string): Promise<string | undefined> {
  const found = await unlessUnseen(stat(path, { bigint: true }))
  return found && `${found.dev}:${found.ino}`
}

/** The first field of the control file in every version, so it is read also of a server of another one. */
async function systemIdentifierIn(dataDirectory: string): Promise<string | undefined> {
  const opened = await unlessUnseen(open(join(dataDirectory, 'global', 'pg_control')))
  if (opened === undefined) return undefined
  await using file = opened
  const { buffer, bytesRead } = await file.read(Buffer.alloc(8), 0, 8, 0)
  return bytesRead === 8 ? String(buffer.readBigUInt64LE()) : undefined
}

/** Number and place of each; one that is a directory of pg_tblspc (15 and later) is made in the target's own. */
async function linkedTablespaces(dataDirectory: string): Promise<ReadonlyMap<string, string>> {
  const folder = join(dataDirectory, 'pg_tblspc')
  const found = new Map<string, string>()
  for (const name of (await unlessUnseen(readdir(folder))) ?? []) {
    const location = await unlessUnseen(readlink(join(folder, name)))
    if (location !== undefined) found.set(name, location)
  }
  return found
}

async function isOccupied(location: string): Promise<boolean> {
  try {
    return (await readdir(location)).length > 0
  } catch (error) {
    return !hasSystemCode(error, 'ENOENT', 'ENOTDIR') // what cannot be listed is not taken for empty
  }
}

/** Undefined for what is not there, is not a link, has just ended, or is another user's. */
async function unlessUnseen<T>(looking: Promise<T>): Promise<T | undefined> {
  try {
    return await looking
  } catch (error) {
    if (hasSystemCode(error, 'ENOENT', 'ENOTDIR', 'EINVAL', 'ESRCH', 'EACCES', 'EPERM')) return undefined
    throw error
  }
}

function wouldBeWrittenOver(
  { oid, location }: { readonly oid: string; readonly location: string },
  { path }: DataDirectory,
  { targetDirectory, head }: LaterTablespacesRequest,
): OperationError {
  return new OperationError(
    'path-unsafe',
    `restoring into ${quote(targetDirectory)}: recovery could write over tablespace ${oid} in ${quote(location)}, which the cluster in ${quote(path)} has and backup ${head.backup.label} has not`,
    {
      hint: 'Restore on a host or in a container that does not have this directory, or from a backup that was taken after the tablespace was made.',
    },
  )
}
