import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { createPlace } from '../../test/support/archive-fixture.ts'
import { FaultyStore, type Fault } from '../../test/support/faulty-store.ts'
import { ManualClock } from '../../test/support/manual-clock.ts'
import { testContext } from '../../test/support/repository.ts'
import { listKeys, storeBackup, storedWalKey, storeWal } from '../../test/support/stored-cluster.ts'
import { MemoryStore } from '../storage/memory/memory-store.ts'
import { storeWalFile } from '../archive/store-wal-file.ts'
import { parseArchiveFileName } from '../domain/archive-file-name.ts'
import { parseBackupLabel, type BackupLabel } from '../domain/backup-label.ts'
import { isOperationError } from '../domain/operation-error.ts'
import { changeCatalogue, readCatalogue, type CatalogueChange } from '../repository/catalogue.ts'
import { manifestKey } from '../repository/object-keys.ts'
import type { KeepRules } from '../retention/keep-rules.ts'
import { defaultGraceMs } from '../retention/sweep.ts'
import { nothingProven } from '../verify/verify-state.ts'
import { writeVerifyState } from '../verify/verify-state-store.ts'
import { expireRepo } from './expire-cluster.ts'
import { gatherExpireFacts } from './expire-facts.ts'
import type { ClusterRepository } from './open-cluster.ts'

/** `ManualClock` begins on 2027-01-15. */
const all = ['10', '11', '12', '13', '14'].map((day) => parseBackupLabel(`202701${day}-120000F`))
const rules = { count: 3, minimum: 1 }
const kept = all.slice(-3)
const threeMinutesMs = 200_000
const allowed = (): Promise<void> => Promise.resolve()
const nothing = allowed

describe('expire, in one repository', () => {
  test('leaves the list as it was or as it shall be, wherever the store fails, and goes on later (R68)', async () => {
    for (const when of ['before', 'after'] as const) {
      for (let call = 1, isStruck = true; isStruck; call += 1) {
        await using site = await Site.make()
        const error = new Error(`call ${call} failed`)
        const store = site.faulty([{ kind: 'fail', error, when, at: { call } }])

        await site.expire({ place: store.place }).catch(() => undefined)

        isStruck = store.faults() > 0
        const listed = await site.listed()
        assert.ok([all.length, kept.length].includes(listed.length), `${when} call ${call}: ${listed.join()}`)
        site.clock.skip(threeMinutesMs)
        await site.expire()
        assert.deepEqual(await site.listed(), kept)
        site.clock.skip(defaultGraceMs)
        await site.expire()
        assert.deepEqual(await site.storedLabels(), kept)
      }
    }
  })

  test('keeps what was pinned, and what was listed, after the plan was made', async () => {
    await using site = await Site.make()
    const [pinned] = all
    const late = parseBackupLabel('20270115-080000F')
    let isDone = false
    const intruder = async (): Promise<void> => {
      if (isDone) return
      isDone = true
      await site.change({ kind: 'pin', label: pinned ?? assert.fail() })
      await storeBackup(site.place, { label: late, firstSegment: 30, lastSegment: 31 }, site.context)
    }

    const { applied } = await site.expire({ place: site.beforeCatalogueWrites(intruder) })

    assert.deepEqual(applied?.removed, [all[1]])
    assert.deepEqual(await site.listed(), [pinned, ...kept, late])
  })

  test('is for one process at a time (Q4)', async () => {
    await using site = await Site.make()
    let second: unknown
    const intruder = async (): Promise<void> => {
      second ??= await site.expire().catch((error: unknown) => error)
    }

    await site.expire({ place: site.beforeCatalogueWrites(intruder) })

    assert.ok(isOperationError(second, 'busy'))
    assert.deepEqual(await site.listed(), kept)
  })

  test('removes nothing while any manifest cannot be read, and names it (R67)', async () => {
    await using site = await Site.make()
    const { store } = site.place.repository
    const key = manifestKey(site.place.cluster.id, { label: all[4] ?? assert.fail(), revision: 1 })
    await store.delete([key])

    await assert.rejects(site.expire(), (error) => isOperationError(error, 'damaged'))

    assert.deepEqual(await site.listed(), all)
  })

  test('does not count a backup whose own WAL is not all there (R67)', async () => {
    await using site = await Site.make()
    const keys = await listKeys(site.place, 'wal')
    const missing = keys.find((key) => key.includes('00000001000000000000000E'))
    await site.place.repository.store.delete([`${site.place.cluster.id}/wal/${missing ?? assert.fail()}`])

    const { knowledge } = await gatherExpireFacts(site.place, site.context)
    await site.expire()

    assert.deepEqual([...knowledge.walMissing], [all[3]])
    assert.deepEqual(await site.listed(), all.slice(1))
  })

  test('counts on nothing that verify found damaged, and keeps the newest that it found whole (R67)', async () => {
    await using site = await Site.make()
    const [proven = assert.fail(), , , fourth = assert.fail()] = all
    const { repository, cluster } = site.place
    const damage = {
      key: `${cluster.id}/data/${fourth}/000001`,
      kind: 'pack',
      problem: 'it is missing',
      backups: [fourth],
      lost: [],
      group: 'x',
      foundAtMs: 1,
      seenAtMs: 1,
    } as const
    const backups = [{ label: proven, provenAtMs: 1 }]
    const state = { ...nothingProven, damage: [damage], backups }
    await writeVerifyState(repository, { clusterId: cluster.id, state }, site.context)

    const { plan } = await site.expire()

    assert.deepEqual(await site.listed(), all)
    const reasons = plan.keep.map(({ reasons: [first = ''] }) => first.replace(/ since .*/, ''))
    assert.deepEqual(reasons, [
      'the newest that was verified',
      'count 3',
      'count 3',
      'newer than 2027-01-11T12:00:00Z',
      'count 3',
    ])
  })

  test('refuses by a clock that jumped, and does not sweep by it, unless it is accepted (T1)', async () => {
    await using site = await Site.make()
    site.clock.skip(60 * 24 * 60 * 60 * 1000)

    const refused = await site.expire()

    assert.ok(isOperationError(refused.failure, 'clock-doubtful'))
    assert.deepEqual([refused.applied, refused.swept], [undefined, undefined])
    assert.deepEqual(await site.listed(), all)
    const { failure } = await site.expire({ acceptsClock: true })
    assert.equal(failure, undefined)
    assert.deepEqual(await site.listed(), kept)
  })

  test('gives up no WAL of the window while a history cannot be read, or has several contents (R67)', async () => {
    for (const harm of ['damaged', 'several'] as const) {
      await using site = await PromotedSite.make()
      await site.harmHistory(harm)

      const { plan, failure, applied } = await site.expire()

      assert.equal(failure, undefined)
      assert.deepEqual([plan.remove, plan.ownWal, applied?.removed], [[], [], []])
      assert.ok(
        site.context.events.some(({ kind, ...event }) => kind === 'warning' && /judged/.test(textOf(event))),
      )
    }
  })

  test('does not count a backup of whose own WAL a segment has two contents (X3, R67)', async () => {
    await using site = await Site.make()
    const { repository } = site.place
    for (const number of [14, 15, 18]) {
      const key = storedWalKey(site.place, 1, number).replace(/(ab){16}/, 'cd'.repeat(16))
      await repository.store.putIfAbsent(key, Buffer.from('other'))
    }

    await site.expire()

    assert.deepEqual(await site.listed(), all)
  })

  test('sweeps what was given up before, also when the plan is refused (Q6)', async () => {
    await using site = await Site.make()
    await site.expire()
    site.clock.skip(defaultGraceMs)

    const { failure, swept } = await site.expire({ rules: { count: 1, minimum: 1 } })

    assert.ok(isOperationError(failure, 'not-confirmed'))
    assert.equal(swept?.deleted.pack.count, 2)
    assert.deepEqual(await site.listed(), kept)
  })

  test('does nothing where there is nothing', async () => {
    await using site = await Site.make({ isEmpty: true })

    const { plan, swept, failure } = await site.expire()

    assert.deepEqual([plan.keep, plan.remove, swept, failure], [[], [], undefined, undefined])
  })
})

const textOf = (event: object): string => JSON.stringify(event)

interface Attempt {
  readonly rules?: KeepRules
  readonly place?: ClusterRepository
  readonly acceptsClock?: boolean
}

/** Five backups of two segments each, and all WAL. */
class Site implements AsyncDisposable {
  readonly clock: ManualClock
  readonly context: ReturnType<typeof testContext>
  readonly place: ClusterRepository
  readonly #folder: string

  private constructor(place: ClusterRepository, folder: string, clock: ManualClock) {
    this.clock = clock
    this.context = testContext({ clock })
    this.place = place
    this.#folder = folder
  }

  static async make({ isEmpty = false } = {}): Promise<Site> {
    const folder = await mkdtemp(join(tmpdir(), 'hf-expire-'))
    const clock = new ManualClock()
    const place = await createPlace({ store: new MemoryStore('repository', clock) })
    const site = new Site({ ...place, name: 'local', stateDirectory: folder }, folder, clock)
    if (isEmpty) return site
    await storeWal(site.place, { from: 1, to: 32 }, site.context)
    for (const [index, label] of all.entries()) {
      const firstSegment = 2 + 4 * index
      await storeBackup(site.place, { label, firstSegment, lastSegment: firstSegment + 1 }, site.context)
    }
    return site
  }

  expire({ place = this.place, acceptsClock = false, rules: wanted = rules }: Attempt = {}) {
    const request = { rules: wanted, isDryRun: false, confirmed: undefined, acceptsClock }
    return expireRepo(request, place, this.context)
  }

  async change(change: CatalogueChange): Promise<void> {
    const { repository, cluster } = this.place
    await changeCatalogue(repository, { clusterId: cluster.id, change, confirm: allowed }, this.context)
  }

  async listed(): Promise<readonly BackupLabel[]> {
    const { repository, cluster } = this.place
    return (await readCatalogue(repository, cluster.id, this.context)).backups.map(({ label }) => label)
  }

  /** Of which backups there are packs. */
  async storedLabels(): Promise<readonly string[]> {
    return (await listKeys(this.place, 'data')).map((key) => key.split('/')[0] ?? '')
  }

  faulty(faults: readonly Fault[]) {
    const store = new FaultyStore(this.place.repository.store, faults)
    const place = { ...this.place, repository: { ...this.place.repository, store } }
    return { place, faults: () => store.calls.filter(({ fault }) => fault !== undefined).length }
  }

  /** Somebody else is faster. */
  beforeCatalogueWrites(intrude: () => Promise<void>): ClusterRepository {
    const inner = this.place.repository.store
    const store: typeof inner = Object.assign(new FaultyStore(inner, []), {
      putIfAbsent: async (...args: Parameters<typeof inner.putIfAbsent>) => {
        if (args[0].includes('/catalog/')) await intrude()
        return inner.putIfAbsent(...args)
      },
    })
    return { ...this.place, repository: { ...this.place.repository, store } }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#folder, { recursive: true })
  }
}

/** Timeline 2 for a year: a backup of each month with its own WAL only, and one of each of the last eight days. */
class PromotedSite implements AsyncDisposable {
  readonly context: ReturnType<typeof testContext>
  readonly #place: ClusterRepository

  private constructor(place: ClusterRepository, clock: ManualClock) {
    this.#place = place
    this.context = testContext({ clock })
  }

  static async make(): Promise<PromotedSite> {
    const clock = new ManualClock()
    const place = await createPlace({ store: new MemoryStore('repository', clock) })
    const folder = await mkdtemp(join(tmpdir(), 'hf-expire-'))
    const site = new PromotedSite({ ...place, name: 'local', stateDirectory: folder }, clock)
    await storeWal(place, { from: 1, to: 12 }, site.context)
    await storeWal(place, { timeline: 2, from: 12, to: 90 }, site.context)
    await site.#archiveHistory('1\t0/C00000\tpromoted\n')
    const monthly: BackupLabel[] = []
    for (let month = 1; month <= 12; month += 1)
      monthly.push(await site.#take(`2026${twoDigits(month)}28-000000F`, 12 + 2 * month))
    for (let day = 8; day <= 15; day += 1) await site.#take(`202701${twoDigits(day)}-000000F`, 5 * day)
    const { repository, cluster } = place
    const change = { kind: 'remove', labels: [], ownWal: monthly } as const
    await changeCatalogue(repository, { clusterId: cluster.id, change, confirm: allowed }, site.context)
    return site
  }

  expire() {
    const monthly = { window: 6.5 * 24 * 60 * 60 * 1000, monthly: 12, minimum: 2 }
    const request = { rules: monthly, isDryRun: false, confirmed: undefined, acceptsClock: false }
    return expireRepo(request, this.#place, this.context)
  }

  async harmHistory(harm: 'damaged' | 'several'): Promise<void> {
    if (harm === 'several') return this.#archiveHistory('1\t0/C00008\tanother server\n')
    const { store } = this.#place.repository
    for await (const { key } of store.list(`${this.#place.cluster.id}/wal/history/`)) {
      const bytes = (await store.get(key)) ?? assert.fail()
      await store.delete([key])
      await store.putIfAbsent(key, bytes.with(bytes.length - 3, (bytes.at(-3) ?? 0) ^ 1))
    }
  }

  #take(label: string, segment: number): Promise<BackupLabel> {
    const backup = { label, timeline: 2, firstSegment: segment, lastSegment: segment }
    return storeBackup(this.#place, backup, this.context)
  }

  async #archiveHistory(text: string): Promise<void> {
    const bytes = Buffer.from(text)
    const readAt = (offset: number, length: number) =>
      Promise.resolve(bytes.subarray(offset, offset + length))
    const source = {
      path: 'history',
      sizeBytes: bytes.length,
      modifiedAtNs: 0n,
      readAt,
      [Symbol.asyncDispose]: nothing,
    }
    const name = parseArchiveFileName('00000002.history')
    await storeWalFile({ source, name, compressionLevel: 1 }, this.#place, this.context)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#place.stateDirectory ?? assert.fail(), { recursive: true })
  }
}

const twoDigits = (number: number): string => number.toString().padStart(2, '0')
