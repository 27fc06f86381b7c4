import type { BinaryReader } from '../codec/binary-reader.ts'
import type { BinaryWriter } from '../codec/binary-writer.ts'
import { OperationError } from '../domain/operation-error.ts'
import { largestUnitBytes } from './pack-writer.ts'

/** A run of a file's bytes and where they are stored. A file's extents follow each other without holes. */
export interface Extent {
  readonly length: number
  readonly source: ExtentSource
}

type ExtentSource =
  | { readonly kind: 'zeros' }
  /** `pack` is an index into the manifest's pack table; `offset` is where in the unit's raw bytes the run begins. */
  | { readonly kind: 'unit'; readonly pack: number; readonly unit: number; readonly offset: number }

interface CommonEntry {
  /** 0: the data directory; else the OID of a tablespace. */
  readonly root: number
  /** Relative to the root, without a leading slash; empty for the root itself. Bytes, because file names are bytes. */
  readonly path: Uint8Array
}

interface DirectoryEntry extends CommonEntry {
  readonly kind: 'directory'
  readonly mode: number
  /** Index into the manifest's owners. */
  readonly owner: number
}

export interface FileEntry extends CommonEntry {
  readonly kind: 'file'
  readonly mode: number
  readonly owner: number
  readonly sizeBytes: number
  readonly modifiedAtMs: number
  /** Blocks whose page checksum was wrong twice, ascending. */
  readonly damagedBlocks: readonly number[]
  readonly extents: readonly Extent[]
}

interface LinkEntry extends CommonEntry {
  readonly kind: 'link'
  readonly owner: number
  readonly target: Uint8Array
}

/** One line of a manifest: entries stand in ascending order of root, then of path bytes. */
export type ManifestEntry = DirectoryEntry | FileEntry | LinkEntry

/** More extents, or damaged blocks, than this are refused, whatever the size of the file (X8): 1 TiB of whole units. */
const mostExtents = 1024 * 1024

/** How many extents, or damaged blocks, a file of this size can need: one for each half block, and a few for its edges. */
const mostExtentsOf = (sizeBytes: number): number => Math.min(mostExtents, 16 + Math.ceil(sizeBytes / 4096))

const contradiction = 'found an entry that contradicts itself'
const kinds = ['directory', 'file', 'link'] as const

/** Entries are written relative to the one before them in the same frame. */
export interface EntryContext {
  root: number
  path: Uint8Array
  pack: number
  unit: number
}

export const newEntryContext = (): EntryContext => ({ root: 0, path: new Uint8Array(), pack: 0, unit: 0 })

/** docs/formats/manifest.md describes the bytes. */
export function encodeEntry(writer: BinaryWriter, entry: ManifestEntry, context: EntryContext): void {
  writer.u8(kinds.indexOf(entry.kind))
  writer.varint(entry.root)
  const shared = entry.root === context.root ? sharedPrefix(entry.path, context.path) : 0
  writer.varint(shared)
  writer.varint(entry.path.length - shared)
  writer.bytes(entry.path.subarray(shared))
  context.root = entry.root
  context.path = entry.path
  writer.varint(entry.owner)
  switch (entry.kind) {
    case 'directory':
      writer.varint(entry.mode)
      return
    case 'link':
      writer.varint(entry.target.length)
      writer.bytes(entry.target)
      return
    case 'file':
      writer.varint(entry.mode)
      encodeFile(writer, entry, context)
  }
}

/** Throws `damaged` for an entry that contradicts itself, such as extents that do not add up to the file's size, or that no unit could hold. */
export function decodeEntry(reader: BinaryReader, context: EntryContext): ManifestEntry {
  const kind = kinds[reader.u8()]
  const root = reader.varint()
  const shared = reader.varint()
  if (kind === undefined || shared > (root === context.root ? context.path.length : 0))
    throw reader.damage(contradiction)
  const suffix = reader.bytes(reader.varint())
  const path = Buffer.concat([context.path.subarray(0, shared), suffix])
  context.root = root
  context.path = path
  const owner = reader.varint()
  switch (kind) {
    case 'directory':
      return { kind, root, path, owner, mode: reader.varint() }
    case 'link':
      return { kind, root, path, owner, target: new Uint8Array(reader.bytes(reader.varint())) }
    case 'file':
      return { kind, root, path, owner, mode: reader.varint(), ...decodeFile(reader, context) }
  }
}

type FileContent = Pick<FileEntry, 'sizeBytes' | 'modifiedAtMs' | 'damagedBlocks' | 'extents'>

function encodeFile(writer: BinaryWriter, file: FileContent, context: EntryContext): void {
  refuseTooMany(file)
  writer.varint(file.sizeBytes)
  writer.varint(Math.max(0, Math.trunc(file.modifiedAtMs)))
  writer.varint(file.damagedBlocks.length)
  let previous = 0
  for (const block of file.damagedBlocks) {
    writer.varint(block - previous)
    previous = block
  }
  writer.varint(file.extents.length)
  for (const { length, source } of file.extents) {
    writer.varint(length)
    if (source.kind === 'zeros') {
      writer.varint(0)
      continue
    }
    // 0 stands for zeros; 1 + zigzag keeps the common case, the same or the next pack, at one byte.
    writer.varint(1 + zigzag(source.pack - context.pack))
    writer.varint(zigzag(source.unit - context.unit))
    writer.varint(source.offset)
    context.pack = source.pack
    context.unit = source.unit
  }
}

/** What nobody could read is not written. */
function refuseTooMany({ sizeBytes, extents, damagedBlocks }: FileContent): void {
  const found = Math.max(extents.length, damagedBlocks.length)
  if (found <= mostExtentsOf(sizeBytes)) return
  throw new OperationError(
    'server-unsuitable',
    `writing a manifest: expected a file of ${sizeBytes} bytes to be in at most ${mostExtentsOf(sizeBytes)} pieces, found ${found}`,
    { hint: 'Files of more than 1 TiB cannot be backed up: move them out of the data directory.' },
  )
}

function decodeFile(reader: BinaryReader, context: EntryContext): FileContent {
  const sizeBytes = reader.varint()
  const modifiedAtMs = reader.varint()
  let block = 0
  const most = mostExtentsOf(sizeBytes)
  const damagedBlocks = Array.from(
    { length: boundedCount(reader, 1, most) },
    () => (block += reader.varint()),
  )
  if (!Number.isSafeInteger(block)) throw reader.damage(contradiction)
  const extentCount = boundedCount(reader, 2, most)
  const extents: Extent[] = []
  let covered = 0
  for (let index = 0; index < extentCount; index += 1) {
    const length = reader.varint()
    covered += length
    extents.push({ length, source: decodeSource(reader, { length, context }) })
  }
  if (covered !== sizeBytes || extents.some(({ length }) => length === 0)) throw reader.damage(contradiction)
  return { sizeBytes, modifiedAtMs, damagedBlocks, extents }
}

function boundedCount(reader: BinaryReader, leastBytesEach: number, most: number): number {
  const count = reader.count(leastBytesEach)
  if (count > most) throw reader.damage(`expected at most ${most} pieces of a file, found ${count}`)
  return count
}

function decodeSource(
  reader: BinaryReader,
  { length, context }: { length: number; context: EntryContext },
): ExtentSource {
  const step = reader.varint()
  if (step === 0) return { kind: 'zeros' }
  const pack = context.pack + unzigzag(step - 1)
  const unit = context.unit + unzigzag(reader.varint())
  const offset = reader.varint()
  if (!isCount(pack) || !isCount(unit) || offset + length > largestUnitBytes)
    throw reader.damage(contradiction)
  context.pack = pack
  context.unit = unit
  return { kind: 'unit', pack, unit, offset }
}

const isCount = (value: number): boolean => Number.isSafeInteger(value) && value >= 0

const zigzag = (value: number): number => (value >= 0 ? value * 2 : -value * 2 - 1)
const unzigzag = (value: number): number => (value % 2 === 0 ? value / 2 : -(value + 1) / 2)

function sharedPrefix(one: Uint8Array, other: Uint8Array): number {
  const most = Math.min(one.length, other.length)
  let length = 0
  while (length < most && one[length] === other[length]) length += 1
  return length
}
