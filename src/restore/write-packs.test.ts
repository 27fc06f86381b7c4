import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { fromBytePath, toBytePath } from '../platform/byte-path.ts'
import { createPageKernel } from '../codec/page-kernel.ts'
import { isOperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { toWalSegmentSize } from '../domain/wal-segment.ts'
import { systemClock } from '../platform/system-clock.ts'
import { ensureCluster, type ClusterRecord } from '../repository/cluster-record.ts'
import type { ManifestHead } from '../repository/manifest-head.ts'
import { packKey } from '../repository/object-keys.ts'
import { createRepository, type Repository } from '../repository/open-repository.ts'
import { hashCountOf } from '../repository/pack-index.ts'
import { packBufferBytes, PackWriter } from '../repository/pack-writer.ts'
import { MemoryStore } from '../storage/memory/memory-store.ts'
import { parseSystemIdentifier } from '../domain/system-identifier.ts'
import { sampleHead, sampleLabel } from '../../test/support/repository-samples.ts'
import { FileTable, NumberRows, type Layout } from './layout.ts'
import { createFiles, removeLeftovers } from './prepare-files.ts'
import { writePacks, type PackWriting, type WrittenBytes } from './write-packs.ts'

const context: RunContext = {
  signal: new AbortController().signal,
  clock: systemClock,
  report: () => undefined,
}
const large = Buffer.from(Array.from({ length: 100_000 }, (_, index) => (index * 7 + (index >> 8)) & 0xff))
const contents: ReadonlyMap<string, Buffer> = new Map([
  ['base/1/1', large],
  ['base/1/2', Buffer.from('small')],
  ['base/1/3', Buffer.alloc(0)],
  ['base/1/4', Buffer.concat([large.subarray(0, 8192), Buffer.alloc(16_384), large.subarray(0, 8192)])],
])

describe('writePacks', () => {
  test('gives every file its content, size and mode', async () => {
    await using site = await makeSite()

    const { writtenBytes } = await site.restore(false)

    site.expectContents()
    assert.equal(statSync(join(site.folder, 'base/1/1')).mode & 0o777, 0o600)
    assert.equal(writtenBytes, large.length + 5 + 16_384)
  })

  test('with delta writes only blocks that differ and removes what is not in the backup (R48)', async () => {
    await using site = await makeSite()
    await site.restore(false)
    const before = statSync(join(site.folder, 'base/1/1'))
    const changed = Buffer.from(large)
    changed[20_000] = 1 ^ (changed[20_000] ?? 0)
    writeFileSync(join(site.folder, 'base/1/1'), changed)
    writeFileSync(join(site.folder, 'base/1/2'), 'small and longer')
    writeFileSync(join(site.folder, 'base/1/4'), Buffer.alloc(40_000, 9))
    writeFileSync(join(site.folder, 'base/1/stray'), 'x')
    assert.equal(statSync(join(site.folder, 'base/1/1')).size, before.size)

    const { writtenBytes, comparedBytes } = await site.restore(true)

    site.expectContents()
    assert.throws(() => statSync(join(site.folder, 'base/1/stray')), { code: 'ENOENT' })
    assert.equal(writtenBytes, 8192 + 4 * 8192)
    assert.ok(comparedBytes > large.length)
  })

  test('with delta writes nothing where everything is right', async () => {
    await using site = await makeSite()
    await site.restore(false)

    assert.equal((await site.restore(true)).writtenBytes, 0)
    site.expectContents()
  })

  test('with delta reads of a pack only its index where everything is right', async () => {
    await using site = await makeSite()
    await site.restore(false)
    await site.damagePack()

    assert.equal((await site.restore(true)).writtenBytes, 0)
    writeFileSync(join(site.folder, 'base/1/1'), Buffer.alloc(large.length))
    await assert.rejects(site.restore(true), { code: 'damaged' })
  })

  test('names the pack, the backup and a file when a pack is damaged', async () => {
    await using site = await makeSite()
    await site.damagePack()

    await assert.rejects(site.restore(false), (error) => {
      assert.ok(isOperationError(error, 'damaged'))
      assert.match(
        error.message,
        new RegExp(`backup ${sampleLabel}: .*data/${sampleLabel}/000001".*base/1/1"`),
      )
      return true
    })
  })
})

interface Site extends AsyncDisposable {
  readonly folder: string
  restore(isDelta: boolean): Promise<WrittenBytes>
  expectContents(): void
  damagePack(): Promise<void>
}

/** A repository with one pack that holds the contents, but for the zeros in the last file. */
async function makeSite(): Promise<Site> {
  const store = new MemoryStore('packs', systemClock)
  const repository = await createRepository(
    store,
    { unlocker: { kind: 'key-file', secret: Buffer.alloc(32, 1) } },
    context,
  )
  const cluster = await ensureCluster(
    repository,
    {
      name: 'main',
      systemIdentifier: parseSystemIdentifier('7'),
      major: 17,
      walSegmentSize: toWalSegmentSize(1024 * 1024),
    },
    context,
  )
  const { head, layout, key, bytes } = buildPack(repository, cluster)
  await store.putIfAbsent(key, bytes)
  const folder = mkdtempSync(join(tmpdir(), 'hf-packs-'))
  const rootPaths = new Map([[0, toBytePath(Buffer.from(folder))]])
  return {
    folder,
    restore: async (isDelta) => {
      if (isDelta) await removeLeftovers({ layout, rootPaths }, context)
      await createFiles({ layout, rootPaths }, context)
      const writing: PackWriting = {
        repository,
        cluster,
        head,
        layout,
        rootPaths,
        isDelta,
        syncsFiles: true,
        workers: 1,
      }
      return writePacks(writing, context)
    },
    expectContents: () => {
      for (const [path, content] of contents)
        assert.ok(readFileSync(join(folder, path)).equals(content), path)
    },
    damagePack: async () => {
      const damaged = Uint8Array.from(bytes)
      damaged[100] = 1 ^ (damaged[100] ?? 0)
      await store.delete([key])
      await store.putIfAbsent(key, damaged)
    },
    [Symbol.asyncDispose]: () => {
      rmSync(folder, { recursive: true })
      return Promise.resolve()
    },
  }
}

function buildPack(
  repository: Repository,
  cluster: ClusterRecord,
): { head: ManifestHead; layout: Layout; key: string; bytes: Uint8Array } {
  const key = packKey(cluster.id, { label: sampleLabel, number: 1 })
  const buffer = new Uint8Array(packBufferBytes)
  const sealed = new PackWriter({ buffer, keys: repository.keys.sealing, key, compressionLevel: 3 })
  const kernel = createPageKernel({ seed: repository.keys.blockHashSeed })
  const files = new FileTable()
  const runs = new NumberRows(6)
  const zeros = new NumberRows(3)
  let packedBytes = 0
  const addRun = (
    { file, path }: { file: number; path: string },
    { content, offset }: { content: Buffer; offset: number },
  ): void => {
    const blockHashes = new BigUint64Array(hashCountOf(content.length))
    kernel.input.set(content)
    kernel.hashBlocks({ offset: 0, length: content.length }, blockHashes)
    const unit = sealed.addUnit(content, [
      { root: 0, path: fromBytePath(path), offset, length: content.length, blockHashes },
    ])
    runs.add([0, unit, 0, content.length, file, offset])
    packedBytes += content.length
  }
  for (const [path, content] of contents) {
    const file = files.add({ root: 0, path, mode: 0o600, sizeBytes: content.length })
    if (path !== 'base/1/4') {
      if (content.length > 0) addRun({ file, path }, { content, offset: 0 })
      continue
    }
    addRun({ file, path }, { content: content.subarray(0, 8192), offset: 0 })
    zeros.add([file, 8192, 16_384])
    addRun({ file, path }, { content: content.subarray(24_576), offset: 24_576 })
  }
  const { sizeBytes, indexTag } = sealed.finish()
  const directories = ['', 'base', 'base/1', 'global'].map((path) => ({ root: 0, path, mode: 0o700 }))
  const layout = {
    directories,
    files,
    links: [],
    runs,
    zeros,
    bytesOfRoot: new Map(),
    packedBytes,
    controlFile: 0,
  }
  const packs = [
    { label: sampleLabel, number: 1, sizeBytes, indexTag, liveBytes: packedBytes, rawBytes: packedBytes },
  ]
  const head = { ...sampleHead(), packs, parts: [] }
  return { head, layout, key, bytes: buffer.slice(0, sizeBytes) }
}
