import type { RunContext } from '../../domain/run-context.ts'
import { OperationError } from '../../domain/operation-error.ts'
import { freshName } from '../../platform/random.ts'
import { marker, markerName, temporaryFolderName } from '../posix/store-root.ts'
import { isTemporaryName, staleAfterMs } from '../posix/stale-temporaries.ts'
import { complete, nameOf, readEntries } from './list-folders.ts'
import { lookUp, withoutMarker } from './look-up.ts'
import { modes } from './put-object.ts'
import { isAbsence, isPlainFailure, SftpFault, SftpStatus } from './sftp-fault.ts'
import type { SftpSession } from './sftp-session.ts'
import { syncFolders } from './sync-folders.ts'
import { explainRefusal, readFileRange, writeFile } from './transfer-file.ts'

/** How sure it is that what was stored survives a power loss of the server. */
export type Durability = 'synced' | 'names-unknown' | 'unknown'

/**
 * Makes the directory a store unless it is one, with the directories above it that are missing. Throws `repository-foreign`
 * when anything else is there. The layout is that of a posix store.
 */
export async function createRoot(
  session: SftpSession,
  root: string,
  signal: AbortSignal,
): Promise<Durability> {
  await makePath(session, root, signal)
  await refuseForeign(session, root, signal)
  await makeIfMissing(session, `${root}/${temporaryFolderName}`, signal)
  await proveExclusiveNames(session, root, signal)
  // Dying here leaves a directory that is no store yet; the next creation goes on from here.
  await mark(session, root, signal)
  return (await syncFolders(session, [root], signal))
    ? 'synced'
    : session.has('fsync@openssh.com')
      ? 'names-unknown'
      : 'unknown'
}

/** Throws when the directory is no store, or one of a layout that this version does not know. */
export async function checkRoot(session: SftpSession, root: string, signal: AbortSignal): Promise<void> {
  const path = `${root}/${markerName}`
  const found = await session.lstat(path, signal)
  if (found === undefined) throw withoutMarker(root)
  const range = { offset: 0, length: Math.min(found.sizeBytes, 200) }
  const read = { path, sizeBytes: found.sizeBytes, range, what: `the marker "${path}"` }
  const bytes = await readFileRange(session, read, signal)
  const text = new TextDecoder().decode(bytes)
  if (text === marker) return
  throw new OperationError(
    'format-newer',
    `opening the store in "${root}" on the server: expected its file "${markerName}" to say "${marker.trim()}", found "${text.slice(0, 80).trim()}"`,
    { hint: 'Use a version of Holdfast that knows this layout.' },
  )
}

/** Removes temporary files that writers left behind when they died, by their age, as a posix store does. */
export async function removeStaleTemporaries(
  session: SftpSession,
  root: string,
  { signal, clock }: Pick<RunContext, 'signal' | 'clock'>,
): Promise<void> {
  const path = `${root}/${temporaryFolderName}`
  const entries = (await readEntries(session, path, signal)).filter((entry) => isTemporaryName(nameOf(entry)))
  for (const { name, kind, modifiedAtS } of await complete(session, { path, entries }, signal)) {
    signal.throwIfAborted()
    if (kind !== 'file' || modifiedAtS * 1000 >= clock.now() - staleAfterMs) continue
    await removeIfPresent(session, `${path}/${name}`, signal)
  }
}

/**
 * Without hard links everything rests on a rename that does not replace. The protocol says so, and there are servers that
 * replace: with one of these, two hosts would overwrite each other's objects. So it is tried.
 */
export async function proveExclusiveNames(
  session: SftpSession,
  root: string,
  signal: AbortSignal,
): Promise<void> {
  if (session.has('hardlink@openssh.com')) return
  const [from, to] = [freshName(), freshName()].map((name) => `${root}/${temporaryFolderName}/${name}`)
  if (from === undefined || to === undefined) return
  try {
    for (const path of [from, to]) {
      await writeFile(session, { path, bytes: new Uint8Array(1), mode: modes.file }, signal)
    }
    await session.rename(from, to, signal)
  } catch (error) {
    if (isPlainFailure(error) && (await session.lstat(from, signal)) !== undefined) return
    throw error
  } finally {
    session.discard(from)
    session.discard(to)
  }
  throw new SftpFault({
    found: 'the server has no hard links, and its renaming replaces what has the name already',
    hint: 'Use a server with hard links, such as that of OpenSSH: without them objects could be overwritten.',
  })
}

async function makePath(session: SftpSession, path: string, signal: AbortSignal): Promise<void> {
  if (path === '' || (await isFolder(session, path, signal))) return
  const above = path.slice(0, path.lastIndexOf('/'))
  await makePath(session, above, signal)
  await makeIfMissing(session, path, signal)
  // The user may not be allowed to read it; then somebody else has made it, long ago.
  await syncFolders(session, [above === '' ? '/' : above], signal)
}

/** The path of the root may lead through links: it is the operator's choice. */
async function isFolder(session: SftpSession, path: string, signal: AbortSignal): Promise<boolean> {
  try {
    session.release(await session.openFolder(path, signal))
    return true
  } catch (error) {
    if (isAbsence(error)) return false
    throw error
  }
}

async function makeIfMissing(session: SftpSession, path: string, signal: AbortSignal): Promise<void> {
  try {
    await session.makeFolder(path, modes.folder, signal)
  } catch (error) {
    if (isPlainFailure(error) && (await session.lstat(path, signal))?.kind === 'folder') return
    throw error
  }
}

async function refuseForeign(session: SftpSession, root: string, signal: AbortSignal): Promise<void> {
  const names = (await readEntries(session, root, signal)).map(nameOf)
  if (names.includes(markerName)) return
  const foreign = names.find((name) => name !== temporaryFolderName && name !== 'lost+found')
  if (foreign === undefined) return
  throw new OperationError(
    'repository-foreign',
    `creating a store in "${root}" on the server: expected an empty directory, found "${foreign}"`,
    { hint: 'Name an empty directory, or one that does not exist yet.' },
  )
}

async function mark(session: SftpSession, root: string, signal: AbortSignal): Promise<void> {
  const to = `${root}/${markerName}`
  if ((await session.lstat(to, signal)) !== undefined) return
  const from = `${root}/${temporaryFolderName}/${freshName()}`
  try {
    await writeFile(
      session,
      { path: from, bytes: new TextEncoder().encode(marker), mode: modes.file },
      signal,
    )
    if (session.has('hardlink@openssh.com')) await session.link(from, to, signal)
    else await session.rename(from, to, signal)
  } catch (error) {
    // Somebody else has marked it at the same time.
    if (isPlainFailure(error) && (await session.lstat(to, signal)) !== undefined) return
    throw await explainRefusal(session, { root, error }, signal)
  } finally {
    session.discard(from)
  }
  await lookUp(session, { root, key: '' }, signal)
}

async function removeIfPresent(session: SftpSession, path: string, signal: AbortSignal): Promise<void> {
  try {
    await session.unlink(path, signal)
  } catch (error) {
    if (!(error instanceof SftpStatus)) throw error
  }
}
