import type { ArchivePlace } from '../archive/archive-place.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { BackupEntry } from '../repository/backup-entry.ts'
import { readManifestEntries, readManifestHead } from '../repository/manifest-reader.ts'

/** A file that went into a backup with pages whose checksums are wrong. */
export interface DamagedFile {
  /** 0: the data directory; else the OID of a tablespace. */
  readonly root: number
  readonly path: string
  /** In the file, ascending. */
  readonly blocks: readonly number[]
}

/** The damaged pages of a backup, file by file, out of its manifest. */
export async function findDamagedFiles(
  { repository, cluster }: ArchivePlace,
  backup: BackupEntry,
  context: RunContext,
): Promise<readonly DamagedFile[]> {
  if (backup.damagedPageCount === 0) return []
  const head = await readManifestHead(repository, { clusterId: cluster.id, ...backup }, context)
  const damaged: DamagedFile[] = []
  for await (const entry of readManifestEntries(repository, { clusterId: cluster.id, head }, context)) {
    if (entry.kind !== 'file' || entry.damagedBlocks.length === 0) continue
    damaged.push({ root: entry.root, path: Buffer.from(entry.path).toString(), blocks: entry.damagedBlocks })
  }
  return damaged
}
