import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { createPlace } from '../../test/support/archive-fixture.ts'
import { FaultyStore } from '../../test/support/faulty-store.ts'
import { ManualClock } from '../../test/support/manual-clock.ts'
import { testContext } from '../../test/support/repository.ts'
import { storeBackup, storeWal } from '../../test/support/stored-cluster.ts'
import { storeDump } from '../../test/support/stored-dump.ts'
import type { BackupLabel } from '../domain/backup-label.ts'
import { isOperationError } from '../domain/operation-error.ts'
import { changeCatalogue, readCatalogue } from '../repository/catalogue.ts'
import { everything, selectionFact } from '../repository/dump-contents.ts'
import { dumpHeadKey } from '../repository/object-keys.ts'
import { noRules, type KeepRules } from '../retention/keep-rules.ts'
import { MemoryStore } from '../storage/memory/memory-store.ts'
import { nothingProven } from '../verify/verify-state.ts'
import { writeVerifyState } from '../verify/verify-state-store.ts'
import { expireRepo } from './expire-cluster.ts'
import type { ClusterRepository } from './open-cluster.ts'

/** `ManualClock` begins on 2027-01-15. */
const written = ['10', '11', '12', '13', '14'].map((day) => `202701${day}-120000L`)

const allowed = (): Promise<void> => Promise.resolve()

describe('expire, of the dumps in one repository', () => {
  test('keeps what was pinned, and what was listed, after the plan was made', async () => {
    await using site = await Site.make()
    const [first = assert.fail()] = site.labels
    let isDone = false
    const intruder = async (): Promise<void> => {
      if (isDone) return
      isDone = true
      await site.pin(first)
      await site.dump('20270115-070000L')
    }

    const { dumps } = await site.expire({ count: 3 }, { place: site.beforeCatalogueWrites(intruder) })

    assert.deepEqual(dumps.removed, [site.labels[1]])
    assert.deepEqual(await site.listed(), [first, ...site.labels.slice(2), '20270115-070000L'])
  })

  test('leaves one alone whose head cannot be read, and says so', async () => {
    await using site = await Site.make()
    const [first = assert.fail()] = site.labels
    await site.place.repository.store.delete([dumpHeadKey(site.place.cluster.id, first)])

    await site.expire({ count: 3 })

    assert.deepEqual(await site.listed(), [first, ...site.labels.slice(2)])
    const told = site.context.events.map((event) => ('message' in event ? event.message : ''))
    assert.ok(told.includes(`repo "local": dump ${first} does not tell what was dumped and stays`))
  })

  test('does not count what verify found damaged', async () => {
    await using site = await Site.make()
    const { repository, cluster } = site.place
    const damage = {
      key: dumpHeadKey(cluster.id, site.labels[4] ?? assert.fail()),
      kind: 'dump',
      problem: 'it is missing',
      backups: site.labels.slice(4),
      lost: [],
      group: 'x',
      foundAtMs: 1,
      seenAtMs: 1,
    } as const
    const state = { ...nothingProven, damage: [damage] }
    await writeVerifyState(repository, { clusterId: cluster.id, state }, site.context)

    await site.expire({ count: 3 })

    assert.deepEqual(await site.listed(), site.labels.slice(1))
  })

  test('holds up that of backups too when it is refused, and reads no head without a rule', async () => {
    await using site = await Site.make()
    const { place, context } = site
    await storeWal(place, { from: 1, to: 40 }, context)
    for (const day of [10, 11, 12, 13]) {
      const backup = { label: `202701${day}-000000F`, firstSegment: day, lastSegment: day }
      await storeBackup(place, backup, context)
    }

    const { failure, applied } = await site.expire({ count: 1 }, { rules: { count: 3, minimum: 1 } })

    assert.ok(isOperationError(failure, 'not-confirmed'))
    assert.match(failure.message, /expiring dumps of .*half or more of 5 dumps would go \(4\)/)
    assert.deepEqual([applied, await site.listed()], [undefined, site.labels])
    const { store } = place.repository
    const watched = new FaultyStore(store, [])
    const seen = { ...place, repository: { ...place.repository, store: watched } }
    const done = await site.expire({}, { place: seen, rules: { count: 3, minimum: 1 } })
    assert.deepEqual([done.applied?.removed.length, done.dumps.plan.hasRules], [1, false])
    const heads = watched.calls.filter(
      ({ operation, subject }) => operation === 'get' && /\/dump\/.*head/.test(subject),
    )
    assert.deepEqual(heads, [])
  })
})

interface Attempt {
  readonly place?: ClusterRepository
  /** Of backups. */
  readonly rules?: KeepRules
}

/** Five dumps of the same database. */
class Site implements AsyncDisposable {
  readonly context: ReturnType<typeof testContext>
  readonly place: ClusterRepository
  readonly labels: BackupLabel[] = []
  readonly #folder: string

  private constructor(place: ClusterRepository, folder: string, clock: ManualClock) {
    this.context = testContext({ clock })
    this.place = place
    this.#folder = folder
  }

  static async make(): Promise<Site> {
    const folder = await mkdtemp(join(tmpdir(), 'hf-expire-dumps-'))
    const clock = new ManualClock()
    const place = await createPlace({ store: new MemoryStore('repository', clock) })
    const site = new Site({ ...place, name: 'local', stateDirectory: folder }, folder, clock)
    for (const label of written) site.labels.push(await site.dump(label))
    return site
  }

  async dump(label: string): Promise<BackupLabel> {
    const facts = { [selectionFact]: everything }
    return (await storeDump(this.place, { label, facts }, this.context)).label
  }

  expire(wanted: Partial<KeepRules>, { place = this.place, rules = noRules }: Attempt = {}) {
    const dumpRules = { minimum: 1, ...wanted }
    const request = { rules, dumpRules, isDryRun: false, confirmed: undefined, acceptsClock: false }
    return expireRepo(request, place, this.context)
  }

  async pin(label: BackupLabel): Promise<void> {
    const { repository, cluster } = this.place
    const change = { kind: 'pin', label } as const
    await changeCatalogue(repository, { clusterId: cluster.id, change, confirm: allowed }, this.context)
  }

  async listed(): Promise<readonly string[]> {
    const { repository, cluster } = this.place
    return (await readCatalogue(repository, cluster.id, this.context)).dumps.map(({ label }) => label)
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
