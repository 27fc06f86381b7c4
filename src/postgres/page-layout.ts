/** A relation's forks, as PostgreSQL names their files (common/relpath.h). */
type RelationFork = 'main' | 'fsm' | 'vm' | 'init'

/** One file of a relation: at most 1 GiB of one fork. */
export interface RelationFile {
  readonly tablespaceOid: number
  /** 0 for the shared relations in global/. */
  readonly databaseOid: number
  readonly relationNumber: number
  readonly fork: RelationFork
  readonly segmentNumber: number
  /** Made by one session for itself; gone with it, so never backed up (R10). */
  readonly isTemporary: boolean
}

/** RELSEG_SIZE of every common build: blocks in one relation file (R9). */
export const blocksPerRelationFile = 131_072

const defaultTablespaceOid = 1663
const globalTablespaceOid = 1664
const greatestOid = 0xffff_ffff
/** Block numbers have 32 bits, so a fork has at most this many files. */
const mostSegments = 32_768

const fileName =
  /^(?:t(?<backend>\d+)_)?(?<relation>[1-9]\d{0,9})(?:_(?<fork>fsm|vm|init))?(?:\.(?<segment>[1-9]\d{0,4}))?$/
const folders: readonly RegExp[] = [
  /^(?<global>global)$/,
  /^base\/(?<database>[1-9]\d{0,9})$/,
  /^pg_tblspc\/(?<tablespace>[1-9]\d{0,9})\/PG_\d+_\d+\/(?<database>[1-9]\d{0,9})$/,
]

/**
 * What relation file a path names: inside the data directory, tablespaces through their links in pg_tblspc. Undefined for
 * every other file, also for those outside these folders whose names are numbers too (pg_xact/0000 is no relation).
 */
export function parseRelationPath(path: string): RelationFile | undefined {
  const slash = path.lastIndexOf('/')
  const folder = parseFolder(path.slice(0, Math.max(slash, 0)))
  const name = parseRelationFileName(path.slice(slash + 1))
  return folder === undefined || name === undefined ? undefined : { ...folder, ...name }
}

/** The part that the name alone says. */
export function parseRelationFileName(
  name: string,
): Pick<RelationFile, 'relationNumber' | 'fork' | 'segmentNumber' | 'isTemporary'> | undefined {
  const parts = fileName.exec(name)?.groups
  if (parts === undefined) return undefined
  const relationNumber = Number(parts['relation'])
  const segmentNumber = Number(parts['segment'] ?? 0)
  if (relationNumber > greatestOid || segmentNumber >= mostSegments) return undefined
  return {
    relationNumber,
    fork: forkOf(parts['fork']),
    segmentNumber,
    isTemporary: parts['backend'] !== undefined,
  }
}

/** The number, within its fork, of a file's first block: what page checksums are computed with (R9). */
export function firstBlockOf(file: Pick<RelationFile, 'segmentNumber'>): number {
  return file.segmentNumber * blocksPerRelationFile
}

/** The relations of one folder that are unlogged now, told by their init forks (R11). Pass all names of the folder. */
export function findUnloggedRelations(names: Iterable<string>): ReadonlySet<number> {
  const unlogged = new Set<number>()
  for (const name of names) {
    const file = parseRelationFileName(name)
    if (file?.fork === 'init' && !file.isTemporary) unlogged.add(file.relationNumber)
  }
  return unlogged
}

/** True for files that recovery resets or drops: every fork but init of an unlogged relation, and temporary ones. */
export function isWithoutWal(
  file: Pick<RelationFile, 'relationNumber' | 'fork' | 'isTemporary'>,
  unlogged: ReadonlySet<number>,
): boolean {
  return file.isTemporary || (file.fork !== 'init' && unlogged.has(file.relationNumber))
}

function parseFolder(path: string): Pick<RelationFile, 'tablespaceOid' | 'databaseOid'> | undefined {
  for (const folder of folders) {
    const parts = folder.exec(path)?.groups
    if (parts === undefined) continue
    if (parts['global'] !== undefined) return { tablespaceOid: globalTablespaceOid, databaseOid: 0 }
    const tablespaceOid = Number(parts['tablespace'] ?? defaultTablespaceOid)
    const databaseOid = Number(parts['database'])
    return Math.max(tablespaceOid, databaseOid) > greatestOid ? undefined : { tablespaceOid, databaseOid }
  }
  return undefined
}

function forkOf(suffix: string | undefined): RelationFork {
  return suffix === 'fsm' || suffix === 'vm' || suffix === 'init' ? suffix : 'main'
}
