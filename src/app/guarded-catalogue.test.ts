import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { parseBackupLabel } from '../domain/backup-label.ts'
import { isOperationError } from '../domain/operation-error.ts'
import { systemClock } from '../platform/system-clock.ts'
import { changeCatalogue } from '../repository/catalogue.ts'
import { ensureCluster } from '../repository/cluster-record.ts'
import { catalogKey, catalogPrefix } from '../repository/object-keys.ts'
import { createRepository } from '../repository/open-repository.ts'
import { MemoryStore } from '../storage/memory/memory-store.ts'
import { FaultyStore } from '../../test/support/faulty-store.ts'
import { anyMutation, sampleHead } from '../../test/support/repository-samples.ts'
import { testCluster, testContext, testKeyFile } from '../../test/support/repository.ts'
import { acceptCatalogue, guardRestore, judgeCatalogue, readGuardedCatalogue } from './guarded-catalogue.ts'
import type { ClusterRepository } from './open-cluster.ts'

/** A repository with one cluster, on a host that has a place to remember in. */
class Site implements AsyncDisposable {
  readonly context = testContext()
  readonly place: ClusterRepository
  readonly store: MemoryStore
  readonly folder: string

  private constructor(place: ClusterRepository, store: MemoryStore, folder: string) {
    this.place = place
    this.store = store
    this.folder = folder
  }

  static async make(): Promise<Site> {
    const context = testContext()
    const store = new MemoryStore('test', systemClock)
    const repository = await createRepository(store, { unlocker: testKeyFile }, context)
    const cluster = await ensureCluster(repository, testCluster, context)
    const folder = await mkdtemp(join(tmpdir(), 'hf-state-'))
    return new Site(
      { name: 'local', repository, cluster, stateDirectory: join(folder, 'state') },
      store,
      folder,
    )
  }

  /** The same repository as it was: a copy that goes its own way from here. */
  async copy(): Promise<ClusterRepository> {
    const store = new MemoryStore('test', systemClock)
    for await (const { key } of this.store.list(''))
      await store.putIfAbsent(key, (await this.store.get(key)) ?? Buffer.alloc(0))
    return { ...this.place, repository: { ...this.place.repository, store } }
  }

  read(place = this.place) {
    return readGuardedCatalogue(place, this.context)
  }

  async freshness(place = this.place) {
    return (await judgeCatalogue(place, this.context)).freshness
  }

  async markFile(): Promise<string> {
    const folder = join(this.folder, 'state', 'high-water-marks')
    const [name] = await readdir(folder)
    return join(folder, name ?? '')
  }

  [Symbol.asyncDispose](): Promise<void> {
    return rm(this.folder, { recursive: true })
  }
}

/** Lists backups of these days of February, one entry each. */
async function list({ repository, cluster }: ClusterRepository, ...days: readonly number[]): Promise<void> {
  for (const day of days) {
    const label = parseBackupLabel(`202602${day}-153000F`)
    const backup = { ...sampleHead().backup, label, manifestDigest: '' }
    const change = { kind: 'publish', backup } as const
    const request = { clusterId: cluster.id, change, confirm: () => Promise.resolve() }
    await changeCatalogue(repository, request, testContext())
  }
}

/** Makes the only mark one of a version that kept them by ids alone. */
async function forgetNames(site: Site): Promise<void> {
  const path = await site.markFile()
  const { repo: _, ...record } = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>
  await rm(path)
  await writeFile(
    join(dirname(path), `${String(record['repositoryId'])}-${String(record['clusterId'])}.json`),
    JSON.stringify(record),
    { mode: 0o600 },
  )
}

const wentBack = { code: 'repository-went-back', exitCode: 5 } as const

describe('a guarded catalogue', () => {
  test('is first seen, and then proven for as long as it grows (RULES 4.3)', async () => {
    await using site = await Site.make()
    await list(site.place, 20)
    assert.deepEqual(await site.freshness(), { kind: 'first-seen' })
    assert.deepEqual(await site.freshness(), { kind: 'proven' })
    await list(site.place, 21, 22)

    assert.equal((await site.read()).number, 3)
    assert.deepEqual(await site.freshness(), { kind: 'proven' })
  })

  test('is judged by itself when another repository is a copy of it, and accepted by itself', async () => {
    await using site = await Site.make()
    await list(site.place, 20)
    const copy = { ...(await site.copy()), name: 'copy' }
    await list(site.place, 21)

    assert.equal((await site.freshness()).kind, 'first-seen')
    assert.equal((await site.freshness(copy)).kind, 'first-seen')
    await list(site.place, 22)
    for (const place of [site.place, copy, site.place, copy])
      assert.equal((await site.freshness(place)).kind, 'proven')
    await acceptCatalogue(copy, site.context)
    assert.equal((await site.freshness()).kind, 'proven')
    assert.equal((await site.freshness(copy)).kind, 'proven')
  })

  test('is held against what an earlier version of the tool has remembered, which knew no names', async () => {
    await using site = await Site.make()
    await list(site.place, 20)
    const yesterday = await site.copy()
    await list(site.place, 21)
    await site.read()
    await forgetNames(site)

    assert.equal((await site.freshness()).kind, 'proven')
    assert.equal((await site.freshness(yesterday)).kind, 'went-back')
    await acceptCatalogue(yesterday, site.context)
    assert.equal((await site.freshness(yesterday)).kind, 'proven')
    assert.equal((await site.freshness({ ...yesterday, name: 'other' })).kind, 'went-back')
  })

  test('is proven from the start when this host saw it empty', async () => {
    await using site = await Site.make()
    assert.deepEqual(await site.freshness(), { kind: 'empty' })
    await list(site.place, 20)

    assert.deepEqual(await site.freshness(), { kind: 'proven' })
  })

  test('is warned of, not refused, when old entries were removed past the one that this host has seen', async () => {
    await using site = await Site.make()
    const { cluster } = site.place
    await list(site.place, 10)
    await site.read()
    await list(site.place, 11, 12, 13)
    await site.store.delete([1, 2].map((number) => catalogKey(cluster.id, number)))

    const other = await site.copy()
    await guardRestore(site.place, false, site.context)

    assert.ok(
      site.context.events.some((event) => event.kind === 'warning' && /seen entry #1 /.test(event.message)),
    )
    assert.deepEqual(await site.freshness(), { kind: 'proven' })
    await list(site.place, 14, 15)
    await other.repository.store.delete([catalogKey(cluster.id, 4)])
    assert.equal((await site.freshness(other)).kind, 'went-back')
  })

  test('went back when what is left behind the removed entries does not hang together', async () => {
    await using site = await Site.make()
    const { cluster } = site.place
    await list(site.place, 10)
    await site.read()
    await list(site.place, 11, 12, 13)
    await site.store.delete([1, 3].map((number) => catalogKey(cluster.id, number)))

    assert.equal((await site.freshness()).kind, 'went-back')
  })

  test('can be restored from although it went back, when that is wanted, and stays refused', async () => {
    await using site = await Site.make()
    await list(site.place, 20)
    const yesterday = await site.copy()
    await list(site.place, 21)
    await site.read()

    await assert.rejects(guardRestore(yesterday, false, site.context), {
      ...wentBack,
      hint: /--accept-older-repository/,
    })
    await guardRestore(yesterday, true, site.context)
    assert.ok(site.context.events.some(({ kind }) => kind === 'warning'))
    await assert.rejects(site.read(yesterday), wentBack)
  })

  test("is refused when yesterday's copy of the whole repository was put back (RULES 4.3)", async () => {
    await using site = await Site.make()
    await list(site.place, 20, 21)
    const yesterday = await site.copy()
    await list(site.place, 22, 23)
    await site.read()

    await assert.rejects(site.read(yesterday), {
      ...wentBack,
      message:
        'the catalogue of cluster "main" in repo "local" went back from entry #4 to #2; no longer listed: 20260222-153000F, 20260223-153000F',
      hint: /holdfast repo accept --confirm local/,
    })
    await assert.rejects(site.read(yesterday), wentBack, 'that it was refused changes nothing')
    assert.equal((await site.read()).number, 4)
  })

  test('is refused when the newest entries are gone, all of them too (RULES 4.3)', async () => {
    for (const left of [3, 1, 0]) {
      await using site = await Site.make()
      await list(site.place, 20, 21, 22, 23)
      await site.read()
      const numbers = [1, 2, 3, 4].slice(left)
      await site.store.delete(numbers.map((number) => catalogKey(site.place.cluster.id, number)))

      await assert.rejects(site.read(), wentBack)
    }
  })

  test('is refused when it has another entry of the number that was seen (RULES 4.3)', async () => {
    await using site = await Site.make()
    await list(site.place, 20)
    const branch = await site.copy()
    await list(site.place, 21)
    await list(branch, 22)
    await site.read()

    await assert.rejects(site.read(branch), { ...wentBack, message: /has another entry #2 than/ })
    await list(branch, 23, 24)
    await assert.rejects(site.read(branch), { ...wentBack, message: /does not lead from entry #2/ })
  })

  test('is refused when an entry in the middle was exchanged or taken out (RULES 4.3)', async () => {
    for (const isExchanged of [true, false]) {
      await using site = await Site.make()
      await list(site.place, 20, 21)
      await site.read()
      const branch = await site.copy()
      await list(site.place, 22, 23, 24)
      await list(branch, 25, 26)
      const key = catalogKey(site.place.cluster.id, 4)
      const other = await branch.repository.store.get(key)
      assert.ok(other)
      await site.store.delete([key])
      if (isExchanged) await site.store.putIfAbsent(key, other)

      await assert.rejects(site.read(), { ...wentBack, message: /does not lead from entry #2/ })
    }
  })

  test('is another one for each cluster', async () => {
    await using site = await Site.make()
    const cluster = await ensureCluster(
      site.place.repository,
      { ...testCluster, name: 'second' },
      site.context,
    )
    const second = { ...site.place, cluster }
    await list(site.place, 20, 21)
    await list(second, 20)
    await site.read()
    await site.read(second)
    await site.store.delete([catalogKey(cluster.id, 1)])

    await assert.rejects(site.read(second), wentBack)
    assert.equal((await site.read()).number, 2)
  })

  test('is taken as it is once that was accepted, and guarded from there on', async () => {
    await using site = await Site.make()
    await list(site.place, 20)
    const yesterday = await site.copy()
    await list(site.place, 21)
    await site.read()
    const judged = await site.freshness(yesterday)
    assert.ok(judged.kind === 'went-back')
    assert.deepEqual(judged.lostLabels, ['20260221-153000F'])
    await acceptCatalogue(yesterday, site.context)

    assert.equal((await site.read(yesterday)).number, 1)
    await list(yesterday, 23)
    assert.equal((await site.read(yesterday)).number, 2)
    await assert.rejects(site.read(), wentBack, 'the other one is now the foreign one')
  })

  test('can be accepted empty', async () => {
    await using site = await Site.make()
    await list(site.place, 20)
    await site.read()
    await site.store.delete([catalogKey(site.place.cluster.id, 1)])
    await acceptCatalogue(site.place, site.context)

    assert.equal((await site.read()).number, 0)
    await list(site.place, 21)
    assert.equal((await site.read()).number, 1)
  })

  test('is no matter of doubt when a listing lags behind', async () => {
    await using site = await Site.make()
    await list(site.place, 20, 21)
    await site.read()
    const hidden = [1, 2].map((number) => catalogKey(site.place.cluster.id, number))
    const store = new FaultyStore(site.store, [
      { kind: 'stale-list', hidden, at: { subject: catalogPrefix(site.place.cluster.id) } },
    ])

    const { number } = await site.read({ ...site.place, repository: { ...site.place.repository, store } })
    assert.equal(number, 2)
  })

  test('is never seen older by one who reads it while others write and remember', async () => {
    await using site = await Site.make()
    await list(site.place, 20)
    const reads = Array.from({ length: 8 }, () => site.freshness())
    await list(site.place, 21, 22)
    const kinds = [...(await Promise.all(reads)), await site.freshness()].map(({ kind }) => kind)

    assert.ok(!kinds.includes('went-back'), kinds.join())
  })

  test('says on a host that has seen nothing yet that it cannot be proven to be fresh, once', async () => {
    await using site = await Site.make()
    await list(site.place, 20)
    await site.read()
    await site.read()

    const notes = site.context.events.map((event) => ('message' in event ? event.message : ''))
    assert.equal(notes.length, 1)
    assert.match(notes[0] ?? '', /cannot prove .* its newest entry is of \d{4}-\d\d-\d\d .* UTC$/)
  })

  test('is read with a warning where nothing can be remembered', async () => {
    await using site = await Site.make()
    await writeFile(join(site.folder, 'state'), 'a file, not a folder')
    await list(site.place, 20)

    assert.equal((await site.read()).number, 1)
    const warnings = site.context.events.filter(({ kind }) => kind === 'warning')
    assert.equal(warnings.length, 1)
    await assert.rejects(acceptCatalogue(site.place, site.context), { code: 'file-unwritable' })
  })

  test('is not remembered in the repository itself, which would go back with it', async () => {
    await using site = await Site.make()
    await list(site.place, 20)
    const inside = { ...site.place, stateDirectory: site.store.location.replace('posix:', '') }

    const { forgetful } = await judgeCatalogue(inside, site.context)
    assert.match(forgetful?.message ?? '', /in the repository itself/)
  })

  test('is remembered for the owner only (RULES 4.2)', async () => {
    await using site = await Site.make()
    await list(site.place, 20)
    await site.read()

    const file = await site.markFile()
    assert.equal((await stat(file)).mode & 0o777, 0o600)
    assert.equal((await stat(join(file, '..'))).mode & 0o777, 0o700)
  })

  test('is remembered anew after what was remembered was damaged, once that is accepted', async () => {
    await using site = await Site.make()
    await list(site.place, 20)
    await site.read()
    await writeFile(await site.markFile(), '{')
    const { forgetful } = await judgeCatalogue(site.place, site.context)
    assert.match(forgetful?.hint ?? '', /repo accept/)
    await acceptCatalogue(site.place, site.context)

    assert.deepEqual(await site.freshness(), { kind: 'proven' })
  })

  test('is read with a warning when what was remembered is damaged, whatever it is (X1)', async () => {
    await using site = await Site.make()
    await list(site.place, 20)
    await site.read()
    const file = await site.markFile()
    const mark = await readFile(file)
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.uint8Array({ maxLength: 200 }),
          anyMutation.map((mutate) => mutate(mark)),
        ),
        async (bytes) => {
          await writeFile(file, bytes)
          const { forgetful, freshness } = await judgeCatalogue(site.place, site.context)
          assert.ok(forgetful === undefined || isOperationError(forgetful))
          assert.ok(forgetful !== undefined || freshness.kind !== 'first-seen')
        },
      ),
      { numRuns: 60 },
    )
  })
})
