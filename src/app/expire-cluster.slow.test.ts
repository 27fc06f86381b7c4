import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { createPlace } from '../../test/support/archive-fixture.ts'
import { FaultyStore, type Fault } from '../../test/support/faulty-store.ts'
import { ManualClock } from '../../test/support/manual-clock.ts'
import { testContext } from '../../test/support/repository.ts'
import { listKeys, storeBackup, storeWal } from '../../test/support/stored-cluster.ts'
import { parseBackupLabel, type BackupLabel } from '../domain/backup-label.ts'
import { isOperationError } from '../domain/operation-error.ts'
import { changeCatalogue, readCatalogue, type CatalogueChange } from '../repository/catalogue.ts'
import { manifestKey } from '../repository/object-keys.ts'
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

  test('does nothing where there is nothing', async () => {
    await using site = await Site.make({ isEmpty: true })

    const { plan, swept, failure } = await site.expire()

    assert.deepEqual([plan.keep, plan.remove, swept, failure], [[], [], undefined, undefined])
  })
})

interface Attempt {
  readonly place?: ClusterRepository
  readonly acceptsClock?: boolean
}

/** Five backups of two segments each, and all WAL. */
class Site implements AsyncDisposable {
  readonly clock = new ManualClock()
  readonly context = testContext({ clock: this.clock })
  readonly place: ClusterRepository
  readonly #folder: string

  private constructor(place: ClusterRepository, folder: string) {
    this.place = place
    this.#folder = folder
  }

  static async make({ isEmpty = false } = {}): Promise<Site> {
    const folder = await mkdtemp(join(tmpdir(), 'hf-expire-'))
    const site = new Site({ ...(await createPlace()), name: 'local', stateDirectory: folder }, folder)
    if (isEmpty) return site
    await storeWal(site.place, { from: 1, to: 32 }, site.context)
    for (const [index, label] of all.entries()) {
      const firstSegment = 2 + 4 * index
      await storeBackup(site.place, { label, firstSegment, lastSegment: firstSegment + 1 }, site.context)
    }
    return site
  }

  expire({ place = this.place, acceptsClock = false }: Attempt = {}) {
    const request = { rules, isDryRun: false, confirmed: undefined, acceptsClock }
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
