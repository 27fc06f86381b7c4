import assert from 'node:assert/strict'
import { readdir, readFile, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import type { ArchivePlace } from '../../src/archive/archive-place.ts'
import { getFile } from '../../src/archive/get-file.ts'
import type { BackupEntry } from '../../src/repository/backup-entry.ts'
import { readCatalogue } from '../../src/repository/catalogue.ts'
import { readManifestEntries, readManifestHead } from '../../src/repository/manifest-reader.ts'
import { packKey } from '../../src/repository/object-keys.ts'
import { PackReader } from '../../src/repository/pack-reader.ts'
import { recordingContext, temporaryFolder } from '../support/archive-fixture.ts'
import type { ArchiveSite } from '../support/archive-site.ts'

/** What was acknowledged: WAL files and the labels of backups. */
interface Acknowledged {
  readonly walFiles?: readonly string[]
  readonly backups?: readonly string[]
}

interface ReadBackOptions {
  readonly acknowledged: Acknowledged
  /** Where the WAL files are as the server wrote them; without it contents are not compared, but verified all the same. */
  readonly walFolder?: string
}

/**
 * Reads back everything that the repository shows, not only what was acknowledged: whatever has a name must be whole
 * (U1, U3). Throws what is missing or damaged.
 */
export async function readBack(site: ArchiveSite, options: ReadBackOptions): Promise<void> {
  const { acknowledged, walFolder } = options
  const { walFiles = [], backups = [] } = acknowledged
  await using place = await site.place()
  const shown = await walNames(place)
  const lostFile = walFiles.find((name) => !shown.has(name))
  assert.equal(lostFile, undefined, `U1: "${lostFile}" was acknowledged and is not in the archive`)
  await readBackWal(place, shown, walFolder)
  const { backups: listed } = await readCatalogue(place.repository, place.cluster.id, recordingContext())
  const labels = new Set<string>(listed.map(({ label }) => label))
  const lost = backups.find((label) => !labels.has(label))
  assert.equal(lost, undefined, `U1: backup ${lost} was acknowledged and is not listed`)
  for (const backup of listed) await readBackBackup(place, backup)
}

/** Temporary files of the store: no key leads to them. */
export async function temporariesOf({ repositoryFolder }: ArchiveSite): Promise<readonly string[]> {
  const folder = join(repositoryFolder, '.tmp')
  const names = await readdir(folder).catch(() => [])
  return names.map((name) => join(folder, name))
}

/** Makes them as old as those that nobody can be writing any more. */
export async function age(paths: readonly string[]): Promise<void> {
  const seconds = Date.now() / 1000 - 2 * 24 * 60 * 60
  for (const path of paths) await utimes(path, seconds, seconds)
}

/** The WAL files that the archive shows. */
export async function walNames({ repository, cluster }: ArchivePlace): Promise<ReadonlySet<string>> {
  const names = new Set<string>()
  for await (const { key } of repository.store.list(`${cluster.id}/wal/`)) {
    const [, name] = /\/([^/]+)-[^-/]+\.\d\d$/.exec(key) ?? []
    assert.ok(name !== undefined, `U3: "${key}" is not the name of a WAL file`)
    names.add(name)
  }
  return names
}

async function readBackWal(
  place: ArchivePlace,
  names: Iterable<string>,
  walFolder: string | undefined,
): Promise<void> {
  await using scratch = await temporaryFolder()
  for (const name of names) {
    const destination = join(scratch.path, name)
    const answer = await getFile({ name, destination }, { repositories: [place] }, recordingContext())
    assert.equal(answer.kind, 'found', `U3: "${name}" has a name in the archive and is not found`)
    const original = walFolder === undefined ? undefined : join(walFolder, name)
    if (original !== undefined && (await isThere(original))) await assertSame(destination, original)
  }
}

export async function assertSame(path: string, original: string): Promise<void> {
  const [one, other] = await Promise.all([readFile(path), readFile(original)])
  assert.ok(one.equals(other), `U2: "${path}" is not what "${original}" is`)
}

/** Every unit that the manifest refers to is opened, which checks its seal. */
async function readBackBackup({ repository, cluster }: ArchivePlace, backup: BackupEntry): Promise<void> {
  const context = recordingContext()
  const clusterId = cluster.id
  const head = await readManifestHead(repository, { clusterId, ...backup }, context)
  const units = new Map<number, Set<number>>()
  for await (const entry of readManifestEntries(repository, { clusterId, head }, context)) {
    for (const { source } of entry.kind === 'file' ? entry.extents : []) {
      if (source.kind !== 'unit') continue
      const ofPack = units.get(source.pack) ?? new Set()
      units.set(source.pack, ofPack.add(source.unit))
    }
  }
  for (const [index, numbers] of units) {
    const reference = head.packs[index] ?? assert.fail('U3: a manifest names a pack that it does not list')
    const key = packKey(clusterId, reference)
    const bytes = await repository.store.get(key)
    assert.ok(bytes !== undefined, `U1: pack "${key}" is gone`)
    const pack = new PackReader(bytes, { keys: repository.keys.sealing, key })
    for (const number of numbers) pack.unit(number)
  }
}

export async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}
