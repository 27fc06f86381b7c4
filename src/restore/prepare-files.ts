import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  ftruncateSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  unlinkSync,
  type Stats,
} from 'node:fs'
import { type BytePath, fromBytePath, joinBytePath, toBytePath } from '../platform/byte-path.ts'
import type { RunContext } from '../domain/run-context.ts'
import { hasSystemCode } from '../platform/durable-file.ts'
import type { Layout } from './layout.ts'
import { markerFile, pendingControlFile, supersededMarkerFile } from './restore-marker.ts'
import { writeFailure } from './unpacker.ts'
import { placeOf } from './write-packs.ts'

interface Preparation {
  readonly layout: Layout
  readonly rootPaths: ReadonlyMap<number, BytePath>
}

/** How many entries are worked on before others get a turn, such as the one who cancels. */
const entriesPerTurn = 256

/**
 * Removes whatever is not in the backup. What is kept is only what has the right kind under the right name; links are
 * removed, never followed. In the directory of a tablespace only what belongs to this version of PostgreSQL is looked at.
 */
export async function removeLeftovers(
  { layout, rootPaths }: Preparation,
  context: RunContext,
): Promise<void> {
  const kinds = kindsOf(layout)
  for (const [root, place] of rootPaths) {
    const folders: BytePath[] = ['']
    for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
      folders.push(...pathsIn(place, folder).filter((path) => isKeptFolder({ root, place, path }, kinds)))
      await turn(context)
    }
  }
}

/** Removes what has no place here. True for a directory that is to be looked into. */
function isKeptFolder(
  { root, place, path }: { root: number; place: BytePath; path: BytePath },
  kinds: ReadonlyMap<string, Kind>,
): boolean {
  const kind = kinds.get(`${root}/${path}`)
  const isForeign = root !== 0 && !path.includes('/') && kind === undefined
  if (isForeign || path === markerFile || path === supersededMarkerFile) return false
  return keep(joinBytePath(place, path), kind)
}

function pathsIn(place: BytePath, folder: BytePath): readonly BytePath[] {
  const directory = joinBytePath(place, folder)
  try {
    const names = readdirSync(fromBytePath(directory), { encoding: 'buffer' }).map(toBytePath)
    return folder === '' ? names : names.map((name) => `${folder}/${name}`)
  } catch (cause) {
    throw writeFailure(directory, cause)
  }
}

/**
 * Makes the directories, and every file with its size and mode; the content comes later. Gives a place on each file system
 * that they are on: an operator may have mounted something anywhere in the directory.
 */
export async function createFiles(
  preparation: Preparation,
  context: RunContext,
): Promise<readonly BytePath[]> {
  const { directories, files } = preparation.layout
  const places = new Map<number, BytePath>()
  const note = (device: number, place: BytePath): void => {
    if (!places.has(device)) places.set(device, place)
  }
  for (const place of preparation.rootPaths.values()) note(deviceOf(place), place)
  for (const directory of directories) {
    const place = placeOf(preparation, directory)
    createDirectory(place, directory.mode)
    note(deviceOf(place), place)
  }
  for (let file = 0; file < files.count; file += 1) {
    const place = placeOf(preparation, { root: files.root(file), path: files.path(file) })
    note(createFile(place, { mode: files.mode(file), sizeBytes: files.sizeBytes(file) }), place)
    if (file % entriesPerTurn === 0) await turn(context)
  }
  return [...places.values()]
}

type Kind = 'directory' | 'file'

function kindsOf({ directories, files }: Layout): ReadonlyMap<string, Kind> {
  const kinds = new Map<string, Kind>()
  for (const { root, path } of directories) kinds.set(`${root}/${path}`, 'directory')
  for (let file = 0; file < files.count; file += 1)
    kinds.set(`${files.root(file)}/${files.path(file)}`, 'file')
  kinds.set(`0/${pendingControlFile}`, 'file')
  return kinds
}

function keep(place: BytePath, kind: Kind | undefined): boolean {
  try {
    const found = lstatSync(fromBytePath(place))
    if (found.isDirectory() && kind === 'directory') return true
    if (found.isDirectory()) rmSync(fromBytePath(place), { recursive: true, force: true, maxRetries: 3 })
    else if (kind !== 'file' || !isAlone(found)) unlinkSync(fromBytePath(place))
    return false
  } catch (cause) {
    // Whoever fetched WAL ahead for a server that is gone may be tidying up at the same time.
    if (hasSystemCode(cause, 'ENOENT')) return false
    throw writeFailure(place, cause)
  }
}

/** A second name of a file may be anywhere: writing into it would write there as well. */
const isAlone = (found: Stats): boolean => found.isFile() && found.nlink === 1

function createDirectory(place: BytePath, mode: number): void {
  const path = fromBytePath(place)
  try {
    mkdirSync(path, mode)
  } catch (cause) {
    if (!hasSystemCode(cause, 'EEXIST') || !lstatSync(path).isDirectory()) throw writeFailure(place, cause)
  }
  try {
    chmodSync(path, mode) // not a link: it was just looked at, and the directory above is ours alone
  } catch (cause) {
    throw writeFailure(place, cause)
  }
}

function deviceOf(place: BytePath): number {
  try {
    return statSync(fromBytePath(place)).dev
  } catch (cause) {
    throw writeFailure(place, cause)
  }
}

/** Gives the device that it is on. */
function createFile(place: BytePath, { mode, sizeBytes }: { mode: number; sizeBytes: number }): number {
  const { O_RDWR, O_CREAT, O_NOFOLLOW } = constants
  try {
    const fd = openSync(fromBytePath(place), O_RDWR | O_CREAT | O_NOFOLLOW, mode)
    try {
      const found = fstatSync(fd)
      if (!isAlone(found)) throw new Error('expected a file of its own, found something else')
      if ((found.mode & 0o7777) !== mode) fchmodSync(fd, mode)
      if (found.size !== sizeBytes) ftruncateSync(fd, sizeBytes)
      return found.dev
    } finally {
      closeSync(fd)
    }
  } catch (cause) {
    throw writeFailure(place, cause)
  }
}

async function turn({ signal }: RunContext): Promise<void> {
  await new Promise(setImmediate)
  signal.throwIfAborted()
}
