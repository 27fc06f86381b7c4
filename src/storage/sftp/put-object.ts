import { OperationError } from '../../domain/operation-error.ts'
import { freshName, randomBelow } from '../../platform/random.ts'
import { unsafeEntry } from '../posix/folder-chain.ts'
import { temporaryFolderName } from '../posix/store-root.ts'
import { lookUp } from './look-up.ts'
import { isAbsence, isPlainFailure, SftpFault, SftpStatus } from './sftp-fault.ts'
import type { SftpSession } from './sftp-session.ts'
import { foldersOfKey, syncFolders } from './sync-folders.ts'
import { explainRefusal, readFileRange, writeFile } from './transfer-file.ts'

export const modes = { folder: 0o700, file: 0o600 } as const

/** What one call of `putIfAbsent` knows across its attempts, which may be on different connections. */
export interface Upload {
  readonly root: string
  readonly key: string
  readonly bytes: Uint8Array
  /** Every temporary file that this call may have left. */
  readonly temporaryPaths: string[]
  /** The one that holds all bytes, synced. */
  written: string | undefined
  /** The written file may have its final name already: that was asked for, and the answer was lost. */
  isInDoubt: boolean
  /** What the server has said; what is left is to make it durable. */
  answer: 'created' | 'exists' | undefined
}

/** Each round fails only when somebody removed the folder, empty at that moment, that the object goes into. */
const mostRounds = 20

/**
 * One attempt to store an object. The order, and what is there when we die or are cut off:
 *
 * 1. The bytes go to a new file in `.tmp`, which is synced and closed. Dying leaves a temporary file of any length.
 * 2. The file gets its final name by a hard link, which fails when the name is taken. Dying leaves a complete object, with
 *    its temporary name as a second one. When only the answer is lost, the next attempt finds out whose object it is.
 * 3. The folders are synced, also when the name was taken: its owner may not have come that far yet.
 * 4. The temporary name is removed.
 *
 * Where there are no hard links, renaming takes their place in step 2: the protocol says that it fails when the name is taken.
 */
export async function putObject(
  session: SftpSession,
  upload: Upload,
  signal: AbortSignal,
): Promise<'created' | 'exists'> {
  const { root, key } = upload
  upload.answer ??= await storeUnlessTaken(session, upload, signal)
  const { answer } = upload
  await Promise.all([
    syncFolders(session, foldersOfKey(root, key.split('/').slice(0, -1)), signal),
    ...upload.temporaryPaths.map((path) => removeTemporary(session, path, signal)),
  ])
  return answer
}

async function storeUnlessTaken(
  session: SftpSession,
  upload: Upload,
  signal: AbortSignal,
): Promise<'created' | 'exists'> {
  const { root, key, bytes } = upload
  const found = await lookUp(session, { root, key }, signal)
  if (found.object !== undefined && !upload.isInDoubt) return 'exists'
  if (upload.written === undefined) {
    const path = `${root}/${temporaryFolderName}/${freshName()}`
    upload.temporaryPaths.push(path)
    try {
      await writeFile(session, { path, bytes, mode: modes.file }, signal)
    } catch (error) {
      if (isAbsence(error)) throw withoutTemporaryFolder(root)
      throw await explainRefusal(session, { root, error }, signal)
    }
    upload.written = path
  }
  const folders = key.split('/').slice(0, -1)
  const lacksFolders = found.folderCount < folders.length
  return giveName(session, { root, key, folders, lacksFolders, from: upload.written, upload }, signal)
}

interface Naming extends Pick<Upload, 'root' | 'key'> {
  readonly folders: readonly string[]
  readonly lacksFolders: boolean
  readonly from: string
  readonly upload: Upload
}

async function giveName(
  session: SftpSession,
  naming: Naming,
  signal: AbortSignal,
): Promise<'created' | 'exists'> {
  const { root, key, from } = naming
  let last: unknown
  for (let round = 1; round <= mostRounds; round++) {
    const lacksFolders = naming.lacksFolders || round > 1
    const answer = await tryToGiveName(session, { ...naming, lacksFolders }, signal)
    if (typeof answer === 'string') return answer
    last = answer.again
  }
  throw new OperationError(
    'store-failed',
    `storing object "${key}" in "${root}": its name could not be given to "${from}" in ${mostRounds} attempts`,
    {
      cause: last,
      hint: 'Find out what deletes directories there, and whether the file system of the server has hard links.',
    },
  )
}

async function tryToGiveName(
  session: SftpSession,
  naming: Naming,
  signal: AbortSignal,
): Promise<'created' | 'exists' | { readonly again: unknown }> {
  const { root, key, folders, from, upload } = naming
  const to = `${root}/${key}`
  const wasInDoubt = upload.isInDoubt
  try {
    if (naming.lacksFolders) await makeFolders(session, { root, folders }, signal)
    signal.throwIfAborted()
    upload.isInDoubt = true
    await nameExclusively(session, { from, to }, signal)
    return 'created'
  } catch (error) {
    if (!(error instanceof SftpStatus)) throw error
    // The server has answered: this time nothing got the name.
    upload.isInDoubt = wasInDoubt
    if (!isAbsence(error) && !isPlainFailure(error)) throw error
    return judgeRefusal(session, { ...naming, error }, signal)
  }
}

async function judgeRefusal(
  session: SftpSession,
  { root, key, from, upload, error }: Naming & { readonly error: SftpStatus },
  signal: AbortSignal,
): Promise<'created' | 'exists' | { readonly again: unknown }> {
  const to = `${root}/${key}`
  const [source, target] = await Promise.all([session.lstat(from, signal), session.lstat(to, signal)])
  if (target?.kind === 'file') {
    return upload.isInDoubt && (await isOurs(session, { from, to, bytes: upload.bytes }, signal))
      ? 'created'
      : 'exists'
  }
  if (target !== undefined) throw unsafeEntry(key, 'a regular file')
  if (source === undefined) {
    // Somebody has tidied up, or the object got its name and was deleted since.
    upload.written = undefined
    throw new SftpFault({
      isTransient: true,
      found: 'a temporary file was removed while it was needed',
      hint: 'Find out what removes files in ".tmp" of the repository on the server.',
    })
  }
  const explained = await explainRefusal(session, { root, error }, signal)
  if (explained !== error) throw explained
  return { again: error }
}

/** Fails when `to` exists; of any number of callers at the same time one succeeds. */
async function nameExclusively(
  session: SftpSession,
  { from, to }: { readonly from: string; readonly to: string },
  signal: AbortSignal,
): Promise<void> {
  if (session.has('hardlink@openssh.com')) await session.link(from, to, signal)
  else await session.rename(from, to, signal)
}

/**
 * Whether two names belong to one file: what is changed through one is seen through the other. The time of the last reading
 * is what nobody needs; a reader may set it too, so this is tried some times. When the temporary name is gone, renaming has
 * taken it: then our bytes under the final name are ours.
 */
async function isOurs(
  session: SftpSession,
  { from, to, bytes }: { readonly from: string; readonly to: string; readonly bytes: Uint8Array },
  signal: AbortSignal,
): Promise<boolean> {
  for (let attempt = 1; attempt <= 3; attempt++) {
    const source = await session.lstat(from, signal)
    if (source === undefined) return holds(session, { path: to, bytes }, signal)
    // From 2004 to 2038: every file system can keep it.
    const accessedAtS = 2 ** 30 + randomBelow(2 ** 30)
    await session.setTimes(from, { accessedAtS, modifiedAtS: source.modifiedAtS }, signal)
    const target = await session.lstat(to, signal)
    if (target?.accessedAtS === accessedAtS) return true
  }
  return false
}

async function holds(
  session: SftpSession,
  { path, bytes }: { readonly path: string; readonly bytes: Uint8Array },
  signal: AbortSignal,
): Promise<boolean> {
  const found = await session.lstat(path, signal)
  if (found?.sizeBytes !== bytes.length) return false
  const range = { offset: 0, length: bytes.length }
  const stored = await readFileRange(
    session,
    { path, sizeBytes: bytes.length, range, what: `"${path}"` },
    signal,
  )
  return stored !== undefined && Buffer.compare(stored, bytes) === 0
}

/** Makes the folders of a key that are missing. Rejects with SSH_FX_NO_SUCH_FILE when one is removed meanwhile. */
async function makeFolders(
  session: SftpSession,
  { root, folders }: { readonly root: string; readonly folders: readonly string[] },
  signal: AbortSignal,
): Promise<void> {
  if (folders.length === 0) return
  const { folderCount } = await lookUp(session, { root, key: [...folders, '-'].join('/') }, signal)
  for (const [index, name] of folders.entries()) {
    if (index < folderCount) continue
    const path = `${root}/${folders.slice(0, index + 1).join('/')}`
    await makeFolder(session, { root, path, name }, signal)
  }
}

async function makeFolder(
  session: SftpSession,
  { root, path, name }: { readonly root: string; readonly path: string; readonly name: string },
  signal: AbortSignal,
): Promise<void> {
  try {
    await session.makeFolder(path, modes.folder, signal)
  } catch (error) {
    if (!isPlainFailure(error)) throw error
    const found = await session.lstat(path, signal)
    if (found?.kind === 'folder') return
    if (found !== undefined) throw unsafeEntry(name, 'a folder', error)
    throw await explainRefusal(session, { root, error }, signal)
  }
}

/** It may be gone, moved by the renaming; and if it stays, it is a file that nobody reads, and goes after a day. */
async function removeTemporary(session: SftpSession, path: string, signal: AbortSignal): Promise<void> {
  try {
    await session.unlink(path, signal)
  } catch (error) {
    if (!(error instanceof SftpStatus)) throw error
  }
}

function withoutTemporaryFolder(root: string): OperationError {
  return new OperationError(
    'store-failed',
    `writing to the store in "${root}" on the server: expected its folder "${temporaryFolderName}", found none`,
    {
      hint: `Create the empty directory "${root}/${temporaryFolderName}" there, owned by the user of the login.`,
    },
  )
}
