import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ChangedBlocks } from '../../src/wal/changed-blocks.ts'

const blockBytes = 8192
const blocksPerFile = 131_072
/** SPGIST_MAGIC_NUMBER in access/spgist_private.h, behind the header of a metapage. */
const spGistMagic = 0xba0babee
const metaPageContentAt = 24
/** pg_default and pg_global: catalog/pg_tablespace.dat. */
const tablespaces = { base: 1663, global: 1664 } as const

/** A file of the main fork of a relation. */
interface RelationFile {
  readonly tablespace: number
  readonly database: number
  readonly relation: number
  readonly firstBlock: number
  readonly bytes: Buffer
}

/** All files of main forks in a data directory, by their path in it. */
export async function readRelationFiles(dataDirectory: string): Promise<ReadonlyMap<string, RelationFile>> {
  const files = new Map<string, RelationFile>()
  for (const { folder, tablespace, database } of await databaseFolders(dataDirectory)) {
    for (const name of await readdir(join(dataDirectory, folder))) {
      const [, relation, part = '0'] = /^(\d+)(?:\.(\d+))?$/.exec(name) ?? []
      if (relation === undefined) continue
      const path = join(folder, name)
      const bytes = await readFile(join(dataDirectory, path))
      const firstBlock = Number(part) * blocksPerFile
      files.set(path, { tablespace, database, relation: Number(relation), firstBlock, bytes })
    }
  }
  return files
}

export interface Difference {
  /** Blocks of files that were there before, and that differ. */
  readonly changedCount: number
  /** Those of them that the changes do not tell: file and block. */
  readonly missed: readonly string[]
}

/** Compares what was there before with what is there now, and that with what the WAL says (R51). */
export function compareFiles(
  before: ReadonlyMap<string, RelationFile>,
  after: ReadonlyMap<string, RelationFile>,
  changes: ChangedBlocks,
): Difference {
  const missed: string[] = []
  let changedCount = 0
  for (const [path, file] of after) {
    const known = before.get(path)
    if (known === undefined) continue
    const { tablespace, database, firstBlock } = file
    const isWhole = changes.hasDatabase(tablespace, database)
    const fork = changes.find({ ...file, fork: 0 })
    for (const block of differingBlocks(known.bytes, file.bytes)) {
      changedCount += 1
      if (!isWhole && fork?.has(firstBlock + block) !== true) missed.push(`${path} ${firstBlock + block}`)
    }
  }
  return { changedCount, missed }
}

/**
 * SpGistUpdateMetaPage in access/spgist/spgutils.c: the cache of pages with room is written without WAL, and may be stale, as
 * on every standby.
 */
function isSpGistMetaPage(block: Buffer): boolean {
  return block.readUInt32LE(metaPageContentAt) === spGistMagic
}

/** Up to the end of what was there before. */
function* differingBlocks(before: Buffer, after: Buffer): Generator<number> {
  const end = Math.min(before.length, after.length)
  for (let at = 0; at < end; at += blockBytes) {
    const block = after.subarray(at, at + blockBytes)
    const isSame = block.equals(before.subarray(at, at + blockBytes))
    if (!isSame && !(at === 0 && isSpGistMetaPage(block))) yield at / blockBytes
  }
}

interface DatabaseFolder {
  readonly folder: string
  readonly tablespace: number
  readonly database: number
}

async function databaseFolders(dataDirectory: string): Promise<readonly DatabaseFolder[]> {
  const found: DatabaseFolder[] = [{ folder: 'global', tablespace: tablespaces.global, database: 0 }]
  const add = async (folder: string, tablespace: number): Promise<void> => {
    for (const name of await readdir(join(dataDirectory, folder))) {
      if (/^\d+$/.test(name)) found.push({ folder: join(folder, name), tablespace, database: Number(name) })
    }
  }
  await add('base', tablespaces.base)
  for (const oid of await readdir(join(dataDirectory, 'pg_tblspc'))) {
    for (const version of await readdir(join(dataDirectory, 'pg_tblspc', oid))) {
      await add(join('pg_tblspc', oid, version), Number(oid))
    }
  }
  return found
}
