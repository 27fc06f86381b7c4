import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, test } from 'node:test'
import { temporaryFolder } from '../../test/support/archive-fixture.ts'
import { testClusterRecord, testContext, testRepository } from '../../test/support/repository.ts'
import { sampleHead } from '../../test/support/repository-samples.ts'
import { seededRandom, type Random } from '../../test/support/seeded-random.ts'
import { unpackBackup } from '../../test/support/unpack-backup.ts'
import type { ArchivePlace } from '../archive/archive-place.ts'
import { nextLabel } from '../domain/backup-label.ts'
import { toBytePath } from '../platform/byte-path.ts'
import type { BackupEntry } from '../repository/backup-entry.ts'
import { readManifestHead } from '../repository/manifest-reader.ts'
import { ManifestWriter } from '../repository/manifest-writer.ts'
import type { ManifestHead } from '../repository/manifest-head.ts'
import { packFolder, packKey } from '../repository/object-keys.ts'
import { ChangedBlocks, type ChangedFork, type ForkId } from '../wal/changed-blocks.ts'
import { FileCopier } from './copy-files.ts'
import { planCopyTasks } from './copy-task.ts'
import { filesOverParent, manifestContentOf } from './manifest-entries-of.ts'
import { planCompaction } from './plan-compaction.ts'
import { planIncrementalTasks, type Lineage } from './plan-incremental.ts'
import { compareScanned, type Scan, type ScannedFile } from './scan.ts'

const context = testContext()
const block = 8192
const relations = [16_384, 16_385, 16_386].map((relation) => ({
  tablespace: 1663,
  database: 5,
  relation,
  fork: 0,
}))

describe('a chain of incremental backups', () => {
  for (const seed of [1, 2]) {
    test(`gives back every state, whatever changed, whichever are deleted, and stays in bounds (R55), seed ${seed}`, async () => {
      await using folder = await temporaryFolder()
      const random = seededRandom(seed)
      const repository = await testRepository(context)
      const place = { repository, cluster: await testClusterRecord(repository, context) }
      const site = new Site(folder.path, random)
      const states: { readonly backup: BackupEntry; readonly files: ReadonlyMap<string, Buffer> }[] = []
      let parent: ManifestHead | undefined

      for (let step = 0; step < 16; step += 1) {
        const changes = step === 0 ? undefined : site.change()
        const lineage = parent && lineageOf(place, parent, random(8) === 0 ? undefined : changes)
        const backup = await take(place, { lineage, scan: site.scan() })
        parent = await readManifestHead(repository, { clusterId: place.cluster.id, ...backup }, context)
        states.push({ backup, files: new Map(site.files) })
        await assertGivesBack(place, states.at(-1) ?? assert.fail(), join(folder.path, `check-${step}`))
        assertInBounds(parent)
      }

      const kept = states.filter((_, index) => index === states.length - 1 || random(3) === 0)
      assert.ok(context.events.some((event) => event.kind === 'note' && event.message.startsWith('moving ')))
      await sweep(
        place,
        kept.map(({ backup }) => backup),
      )
      for (const [index, state] of kept.entries())
        await assertGivesBack(place, state, join(folder.path, `kept-${index}`))
    })
  }
})

/** A data directory whose every change is known. */
class Site {
  readonly files = new Map<string, Buffer>()
  readonly #folder: string
  readonly #random: Random

  constructor(folder: string, random: Random) {
    this.#folder = join(folder, 'data')
    this.#random = random
    this.files.set('PG_VERSION', Buffer.from('18\n'))
    this.files.set('pg_xact/0000', this.#pages(4))
    this.files.set('base/5/16384_vm', this.#pages(2))
    for (const [index, { relation }] of relations.entries())
      this.files.set(`base/5/${relation}`, this.#pages(100 + 400 * index))
    this.#write()
  }

  /** Some of everything, as a server would; gives what its WAL would name. */
  change(): ChangedBlocks {
    const changes = new ChangedBlocks()
    for (const id of relations) this.#changeRelation(id, changes)
    const transactions = this.files.get('pg_xact/0000') ?? assert.fail()
    this.files.set('pg_xact/0000', Buffer.concat([transactions, this.#pages(1)]))
    const map = Buffer.from(this.files.get('base/5/16384_vm') ?? assert.fail())
    map[this.#random(map.length)] = this.#random(256)
    this.files.set('base/5/16384_vm', map)
    this.files.set('postgresql.auto.conf', Buffer.from(`# ${this.#random(10)}`))
    this.#write()
    return changes
  }

  /** Truncates and extends it, drops it, or changes some of its blocks and adds others. */
  #changeRelation(id: ForkId, changes: ChangedBlocks): void {
    const fork = changes.forkOf(id)
    const path = `base/5/${id.relation}`
    const file = this.files.get(path) ?? Buffer.alloc(0)
    const kind = this.#random(10)
    if (kind === 0) {
      const length = this.#random(file.length / block + 1)
      fork.limitTo(length)
      const added = this.#pages(this.#random(200))
      this.files.set(path, Buffer.concat([file.subarray(0, length * block), added]))
    } else if (kind === 1) {
      fork.limitTo(0)
      this.files.delete(path)
      rmSync(join(this.#folder, path), { force: true })
    } else {
      const changed = this.#changeBlocks(file, kind === 2 ? 2 : 5, fork)
      this.files.set(path, kind < 6 ? Buffer.concat([changed, Buffer.alloc(block), this.#pages(3)]) : changed)
    }
  }

  #changeBlocks(file: Buffer, share: number, fork: ChangedFork): Buffer {
    const changed = Buffer.from(file)
    for (let index = 0; index < changed.length / block; index += 1) {
      if (this.#random(share) > 0) continue
      this.#pages(1).copy(changed, index * block)
      fork.add(index)
    }
    return changed
  }

  scan(): Scan {
    const files = [...this.files].map(([path, { length }]): ScannedFile => ({
      root: 0,
      path,
      owner: 0,
      mode: 0o600,
      modifiedAtMs: 0,
      sizeBytes: length,
      isFollowed: false,
    }))
    const directories = ['', 'base', 'base/5', 'pg_xact'].map((path) => ({
      root: 0,
      path,
      owner: 0,
      mode: 0o700,
    }))
    const rootPaths = new Map([[0, toBytePath(Buffer.from(this.#folder))]])
    const rest = { links: [], tablespaces: [], owners: ['postgres:postgres'], totalBytes: 0, rootPaths }
    return {
      ...rest,
      files: files.toSorted(compareScanned),
      directories: directories.toSorted(compareScanned),
    }
  }

  /** Half of each page cannot be compressed. */
  #pages(count: number): Buffer {
    const bytes = Buffer.alloc(count * block)
    for (let offset = 0; offset < bytes.length; offset += offset % block < block / 2 ? 4 : block / 2)
      bytes.writeUInt32LE(this.#random(2 ** 32 - 1), offset)
    return bytes
  }

  #write(): void {
    for (const [path, bytes] of this.files) {
      mkdirSync(dirname(join(this.#folder, path)), { recursive: true })
      writeFileSync(join(this.#folder, path), bytes)
    }
  }
}

const lineageOf = (place: ArchivePlace, head: ManifestHead, changes: ChangedBlocks | undefined): Lineage => ({
  repository: place.repository,
  clusterId: place.cluster.id,
  head,
  changes,
  isAudit: false,
})

/** As `copyCluster` and `publishBackup` do it, without a server. */
async function take(
  { repository, cluster }: ArchivePlace,
  { lineage, scan }: { readonly lineage: Lineage | undefined; readonly scan: Scan },
): Promise<BackupEntry> {
  const kind = lineage === undefined ? 'full' : 'incr'
  const label = nextLabel(0, kind, lineage === undefined ? [] : [lineage.head.backup.label])
  const rest = { workers: 1, compressionLevel: 1, maxRate: undefined, audit: undefined }
  const options = { clusterId: cluster.id, label, ...rest }
  await using copier = new FileCopier({ repository, scan, options }, context)
  const copied = { scan, copier, damagedPages: new Map(), lineage }
  if (lineage === undefined) await copier.run(planCopyTasks(scan, false), () => undefined)
  else {
    const planning = { scan, hasChecksums: false, lineage }
    await copier.run(planIncrementalTasks(planning, copier.copied, context), () => undefined)
    const files = () => filesOverParent(copied, context)
    const { storedRawBytes: storedBytes } = copier.copied
    await copier.run(planCompaction({ lineage, files, storedBytes }, context), () => undefined)
  }
  await copier.finish()
  const manifest = new ManifestWriter(repository, { clusterId: cluster.id, label, revision: 1 }, context)
  const { packs, entries } = await manifestContentOf(copied, context)
  for await (const entry of entries) await manifest.add(entry)
  const head = sampleHead()
  const backup = { ...head.backup, label, type: kind, revision: 1 } as const
  const { digest } = await manifest.finish({ ...head, backup, packs, tablespaces: [], owners: scan.owners })
  return { ...backup, manifestDigest: digest }
}

async function assertGivesBack(
  place: ArchivePlace,
  { backup, files }: { readonly backup: BackupEntry; readonly files: ReadonlyMap<string, Buffer> },
  target: string,
): Promise<void> {
  mkdirSync(target)
  await unpackBackup(place, backup, target)
  for (const [path, bytes] of files)
    assert.ok(readFileSync(join(target, path)).equals(bytes), `${path} of backup ${backup.label}`)
  rmSync(target, { recursive: true })
}

/** A restore reads whole packs: not much more of them may be dead than alive. */
function assertInBounds({ packs, backup }: ManifestHead): void {
  const [raw, live] = packs.reduce(
    ([rawSum, liveSum], { rawBytes, liveBytes }) => [rawSum + rawBytes, liveSum + liveBytes],
    [0, 0],
  )
  assert.ok(
    packs.every(({ liveBytes }) => liveBytes > 0),
    'a pack without live bytes is listed',
  )
  assert.ok(raw <= 1.8 * live, `${backup.label}: ${raw} bytes in packs for ${live} that are needed`)
}

/** Deletes every pack that none of these backups refers to. */
async function sweep({ repository, cluster }: ArchivePlace, backups: readonly BackupEntry[]): Promise<void> {
  const needed = new Set<string>()
  for (const backup of backups) {
    const { packs } = await readManifestHead(repository, { clusterId: cluster.id, ...backup }, context)
    for (const pack of packs) needed.add(packKey(cluster.id, pack))
  }
  const garbage: string[] = []
  for await (const { key } of repository.store.list(packFolder(cluster.id)))
    if (!needed.has(key)) garbage.push(key)
  await repository.store.delete(garbage)
  assert.ok(garbage.length > 0, 'nothing was garbage: the test deletes nothing')
}
