import assert from 'node:assert/strict'
import { closeSync, ftruncateSync, mkdirSync, openSync, symlinkSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { ArchivePlace } from '../../src/archive/archive-place.ts'
import type { BackupEntry } from '../../src/repository/backup-entry.ts'
import { readManifestEntries, readManifestHead } from '../../src/repository/manifest-reader.ts'
import type { FileEntry } from '../../src/repository/manifest-entry.ts'
import type { ManifestHead, PackReference } from '../../src/repository/manifest-head.ts'
import { packKey } from '../../src/repository/object-keys.ts'
import { PackReader } from '../../src/repository/pack-reader.ts'
import { recordingContext } from './archive-fixture.ts'

/**
 * Writes the files of a backup in the plainest way, by nothing but the manifest and the packs: what it makes proves the
 * backup, not the restore. Tablespaces go to `tablespaces/OID` beside `target`, which must exist.
 */
export async function unpackBackup(
  place: ArchivePlace,
  backup: BackupEntry,
  target: string,
): Promise<ManifestHead> {
  const context = recordingContext()
  const clusterId = place.cluster.id
  const head = await readManifestHead(place.repository, { clusterId, ...backup }, context)
  const roots = new Map([[0, target]])
  for (const { oid, location } of head.tablespaces) {
    if (location !== undefined) roots.set(oid, join(target, '..', 'tablespaces', String(oid)))
  }
  const openPack = packOpener(place, head.packs)
  for await (const entry of readManifestEntries(place.repository, { clusterId, head }, context)) {
    const path = join(roots.get(entry.root) ?? assert.fail(), Buffer.from(entry.path).toString())
    if (entry.kind === 'directory') mkdirSync(path, { recursive: true, mode: 0o700 })
    if (entry.kind === 'link') symlinkSync(Buffer.from(entry.target), path)
    if (entry.kind === 'file') await writeFileOf(entry, path, openPack)
  }
  for (const [oid, path] of roots) if (oid !== 0) symlinkSync(path, join(target, 'pg_tblspc', String(oid)))
  writeFileSync(join(target, 'backup_label'), head.backupLabelFile)
  return head
}

type OpenPack = (index: number) => Promise<PackReader>

function packOpener({ repository, cluster }: ArchivePlace, packs: readonly PackReference[]): OpenPack {
  const opened = new Map<number, PackReader>()
  return async (index) => {
    const known = opened.get(index)
    if (known !== undefined) return known
    const { label, number, indexTag, sizeBytes } = packs[index] ?? assert.fail()
    const key = packKey(cluster.id, { label, number })
    const bytes = await repository.store.get(key)
    assert.equal(bytes?.length, sizeBytes)
    const pack = new PackReader(bytes, { keys: repository.keys.sealing, key })
    assert.deepEqual(Buffer.from(pack.indexTag), Buffer.from(indexTag))
    opened.set(index, pack)
    return pack
  }
}

async function writeFileOf(entry: FileEntry, path: string, openPack: OpenPack): Promise<void> {
  const fd = openSync(path, 'wx', 0o600)
  ftruncateSync(fd, entry.sizeBytes)
  let position = 0
  for (const { length, source } of entry.extents) {
    if (source.kind === 'unit') {
      const pack = await openPack(source.pack)
      const bytes = pack.unit(source.unit).subarray(source.offset, source.offset + length)
      assert.equal(writeSync(fd, bytes, 0, length, position), length)
    }
    position += length
  }
  closeSync(fd)
}
