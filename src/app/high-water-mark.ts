import { constants } from 'node:fs'
import { access, open } from 'node:fs/promises'
import { join } from 'node:path'
import { isOperationError, OperationError } from '../domain/operation-error.ts'
import {
  describeSystemError,
  hasSystemCode,
  isSystemError,
  makeFolderDurably,
  replaceDurably,
} from '../platform/durable-file.ts'
import { encodeRecord, RecordReader } from '../repository/record.ts'
import { refuseNewerFormat } from '../repository/repository-header.ts'

/** The newest catalogue entry of a cluster that this host has seen in a repository. */
export interface HighWaterMark {
  readonly number: number
  readonly digest: string
  /** When the entry was written, by its writer's clock. */
  readonly writtenAtMs: number
  /** The backups that it lists, oldest first. */
  readonly labels: readonly string[]
}

/**
 * What is remembered apart: a cluster in a repository. By their ids, and by the repository's name in the configuration: two
 * that are configured may be copies of each other, with one id, and each grows in its own time. The name stays when the
 * repository is moved.
 */
export interface MarkedCatalogue {
  readonly repo: string
  readonly repositoryId: string
  readonly clusterId: string
}

const markVersion = 1
/** As many labels as a repository will ever have, many times over. */
const mostBytes = 16 * 1024 * 1024

/**
 * What this host remembers; undefined when it has never seen this catalogue. Throws `damaged` or `file-unreadable` when
 * it remembers something that cannot be read, and `path-unsafe` when somebody else wrote it.
 */
export async function readHighWaterMark(
  directory: string,
  catalogue: MarkedCatalogue,
): Promise<HighWaterMark | undefined> {
  return (
    (await readMark(markFile(directory, catalogue), catalogue)) ??
    // From before there were names in it. It stays: each repository of that id takes it over with its next entry.
    (await readMark(namelessFile(directory, catalogue), catalogue))
  )
}

async function readMark(path: string, catalogue: MarkedCatalogue): Promise<HighWaterMark | undefined> {
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW)
    const { uid, size } = await file.stat()
    if (uid !== process.geteuid?.() && uid !== 0) throw foreignMark(path, uid)
    if (size > mostBytes) throw new OperationError('damaged', `reading "${path}": it has ${size} bytes`)
    return decodeMark(await file.readFile(), path, catalogue)
  } catch (cause) {
    if (hasSystemCode(cause, 'ENOENT')) return undefined
    if (isOperationError(cause, 'damaged')) throw damagedMark(cause)
    if (!isSystemError(cause)) throw cause
    throw new OperationError('file-unreadable', `reading "${path}": ${describeSystemError(cause)}`, {
      cause,
      hint: 'Give the state directory to the user who runs the tool, or name another one with "state-directory".',
    })
  }
}

/** Remembers a mark, durably and for this user only. Throws `no-space` or `file-unwritable`. */
export async function writeHighWaterMark(
  directory: string,
  catalogue: MarkedCatalogue,
  { number, digest, writtenAtMs, labels }: HighWaterMark,
): Promise<void> {
  await makeFolderDurably(markFolder(directory), 0o700)
  const backups = labels.map((label) => ({ label }))
  const record = { version: markVersion, ...catalogue, number, digest, writtenAtMs, backups }
  await replaceDurably(markFile(directory, catalogue), encodeRecord(record), 0o600)
}

/** Throws `file-unwritable` when marks could not be written any more: said before it matters. */
export async function requireWritableMarks(directory: string): Promise<void> {
  const folder = markFolder(directory)
  try {
    await access(folder, constants.W_OK | constants.X_OK)
  } catch (cause) {
    if (!isSystemError(cause)) throw cause
    throw new OperationError('file-unwritable', `writing to "${folder}": ${describeSystemError(cause)}`, {
      cause,
      hint: 'Give the state directory to the user who runs the tool, or name another one with "state-directory".',
    })
  }
}

const markFolder = (directory: string): string => join(directory, 'high-water-marks')

const markFile = (directory: string, { repositoryId, clusterId, repo }: MarkedCatalogue): string =>
  join(markFolder(directory), `${repositoryId}-${clusterId}-${repo}.json`)

const namelessFile = (directory: string, { repositoryId, clusterId }: MarkedCatalogue): string =>
  join(markFolder(directory), `${repositoryId}-${clusterId}.json`)

function decodeMark(bytes: Uint8Array, path: string, catalogue: MarkedCatalogue): HighWaterMark {
  const reader = RecordReader.decode(bytes, `"${path}"`)
  refuseNewerFormat(reader.count('version'), `reading "${path}"`)
  if (
    reader.string('repositoryId') !== catalogue.repositoryId ||
    reader.string('clusterId') !== catalogue.clusterId
  )
    throw new OperationError('damaged', `reading "${path}": it is about another repository or cluster`)
  return {
    number: reader.count('number'),
    digest: reader.string('digest'),
    writtenAtMs: reader.count('writtenAtMs'),
    labels: reader.records('backups').map((backup) => backup.string('label')),
  }
}

function damagedMark(cause: OperationError): OperationError {
  return new OperationError('damaged', cause.message, {
    cause,
    hint: 'Compare what "holdfast info" lists with what you know; then "holdfast repo accept" remembers it anew.',
  })
}

function foreignMark(path: string, uid: number): OperationError {
  return new OperationError(
    'path-unsafe',
    `reading "${path}": expected a file of this user (uid ${process.geteuid?.() ?? ''}), found one of uid ${uid}`,
    { hint: 'Find out who wrote it, and name a state directory that nobody else may write to.' },
  )
}
