import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, test } from 'node:test'
import { reachOfWhole } from '../src/app/describe-cluster.ts'
import { readArchiveInventory } from '../src/archive/archive-inventory.ts'
import { OperationError } from '../src/domain/operation-error.ts'
import { readCatalogue } from '../src/repository/catalogue.ts'
import { catalogKey } from '../src/repository/object-keys.ts'
import type { Damage } from '../src/verify/damage.ts'
import type { VerifyScope } from '../src/verify/plan-verify.ts'
import { runVerify, type VerifyReport } from '../src/verify/run-verify.ts'
import { readVerifyState } from '../src/verify/verify-state-store.ts'
import { FaultyStore } from './support/faulty-store.ts'
import { flipBit, replaceObject } from './support/repository-samples.ts'
import {
  archiveHistory,
  archiveSegment,
  buildWal,
  createVerifySite,
  monday,
  siteContext,
  storePack,
  tuesday,
  type SiteContext,
  type VerifySite,
} from './verify-site.ts'

const anew: VerifyScope = { kind: 'anew' }

const verify = (
  { place }: Pick<VerifySite, 'place'>,
  { context = siteContext(), scope = anew }: { context?: SiteContext; scope?: VerifyScope } = {},
): Promise<VerifyReport> => runVerify({ scope, workers: 2 }, place, context)

const bytesAt = async ({ place }: VerifySite, key: string): Promise<Uint8Array> =>
  (await place.repository.store.get(key)) ?? assert.fail(`there is no "${key}"`)

const flip = async (site: VerifySite, key: string): Promise<void> =>
  replaceObject(site.place.repository, key, flipBit(await bytesAt(site, key), 400))

const keysOf = (damage: readonly Damage[]): readonly string[] => damage.map(({ key }) => key)

/** The same site behind a store that the test watches or breaks. */
function behind(site: VerifySite, store: FaultyStore): VerifySite {
  const { place } = site
  return { ...site, place: { ...place, repository: { ...place.repository, store } } }
}

/** Tells the test of each call before it passes it on. */
class WatchedStore extends FaultyStore {
  onGet: (key: string) => Promise<void> | void = () => undefined
  onPut: (key: string) => void = () => undefined

  onListed: (prefix: string) => void = () => undefined

  override async *list(...args: Parameters<FaultyStore['list']>) {
    yield* super.list(...args)
    this.onListed(args[0])
  }

  override async get(...args: Parameters<FaultyStore['get']>) {
    await this.onGet(args[0])
    return super.get(...args)
  }

  override async putIfAbsent(...args: Parameters<FaultyStore['putIfAbsent']>) {
    const answer = await super.putIfAbsent(...args)
    this.onPut(args[0])
    return answer
  }
}

const isState = (key: string): boolean => /\/verify\/\d{10}$/.test(key)

describe('a run of verify that is killed after it has saved', () => {
  test('has written down no proof without what was found', async () => {
    const site = await createVerifySite()
    const [pack, segment] = [site.keys.pack(monday, 1), site.keys.segment(16)]
    await flip(site, pack)
    await flip(site, segment)
    const stop = new AbortController()
    const context = siteContext(stop.signal)
    let skippedMs = 0
    const monotonic = (): number => performance.now() + skippedMs
    const store = new WatchedStore(site.place.repository.store)
    let manifests = 0
    store.onGet = async (key) => {
      if (key === pack) skippedMs = 31_000
      if (!key.endsWith('/manifest')) return
      manifests += 1
      // The store is slow while damage is assessed, and the other lane goes on.
      if (manifests > 2) await sleep(1000)
    }
    store.onPut = (key) => {
      if (isState(key)) setImmediate(() => stop.abort(new Error('killed')))
    }
    const interrupted = { ...context, clock: { ...context.clock, monotonic } }
    await assert.rejects(verify(behind(site, store), { context: interrupted }), /killed/)

    const report = await verify(site, { scope: { kind: 'everything' } })

    assert.deepEqual(keysOf(report.damage).toSorted(), [pack, segment].toSorted())
  })
})

function fileError(code: string): OperationError {
  const cause = Object.assign(new Error(code), { code })
  return new OperationError('store-failed', `reading: ${code}`, { cause })
}

const brief = ({ key, backups }: Damage) => [key, backups] as const

describe('a history file that cannot be used', () => {
  const changes: Readonly<Record<string, (bytes: Uint8Array) => Uint8Array>> = {
    'of a later version, it seems': (bytes) => bytes.with(8, 3),
    'sealed with unknown keys, it seems': (bytes) => bytes.with(12, 3),
    damaged: (bytes) => flipBit(bytes, 400),
  }
  for (const [what, change] of Object.entries(changes)) {
    test(`hides no WAL that is missing: ${what}`, async () => {
      const site = await createVerifySite()
      const { store } = site.place.repository
      const key = await archiveHistory(site.place, '00000002.history', '1\t0/1000000\treason\n')
      await store.delete([site.keys.segment(3)])
      await replaceObject(site.place.repository, key, change(await bytesAt(site, key)))

      const { damage } = await verify(site)

      const missing = damage.filter(({ kind }) => kind === 'wal-missing')
      assert.deepEqual(
        missing.map(({ backups }) => backups),
        [[monday]],
      )
      assert.ok(keysOf(damage).includes(key))
    })
  }

  test('hides no WAL that is missing: it cannot be read', async () => {
    const site = await createVerifySite()
    const key = await archiveHistory(site.place, '00000002.history', '1\t0/1000000\treason\n')
    await site.place.repository.store.delete([site.keys.segment(3)])
    const store = new FaultyStore(site.place.repository.store)
    store.plan({
      kind: 'fail',
      when: 'before',
      error: fileError('EIO'),
      at: { operation: 'get', subject: key },
    })

    const { damage } = await verify(behind(site, store))

    assert.deepEqual(damage.map(({ kind }) => kind).toSorted(), ['history', 'wal-missing'])
  })
})

describe('a segment that arrives after a later one', () => {
  test('is not called missing', async () => {
    const site = await createVerifySite()
    const key = site.keys.segment(19)
    const bytes = await bytesAt(site, key)
    await site.place.repository.store.delete([key])
    const store = new WatchedStore(site.place.repository.store)
    let arrival: Promise<unknown> | undefined
    const arrive = async (): Promise<void> => {
      await sleep(1000)
      await site.place.repository.store.putIfAbsent(key, bytes)
    }
    store.onListed = (prefix) => {
      if (prefix.endsWith('/wal/')) arrival ??= arrive()
    }

    assert.deepEqual((await verify(behind(site, store))).damage, [])
    await arrival
  })
})

describe('an object that the store cannot read', () => {
  const short = new OperationError('store-failed', 'reading: expected 100 bytes, found only 50')
  const errors = {
    'no access': fileError('EACCES'),
    'not permitted': fileError('EPERM'),
    'it ends early': short,
  }
  for (const [what, error] of Object.entries(errors)) {
    test(`is damage, and the others are proven: ${what}`, async () => {
      const site = await createVerifySite()
      const key = site.keys.pack(monday, 1)
      const store = new FaultyStore(site.place.repository.store)
      store.plan({ kind: 'fail', when: 'before', error, at: { operation: 'get', subject: key } })

      const { damage } = await verify(behind(site, store))

      assert.deepEqual(damage.map(brief), [[key, [monday, tuesday]]])
    })
  }

  test('ends the run when there are a hundred in a row, and what was proven before is remembered', async () => {
    const site = await createVerifySite()
    const { place } = site
    const units = ['x']
    for (let number = 2; number <= 120; number += 1) await storePack(place, { label: tuesday, number, units })
    const store = new FaultyStore(place.repository.store)
    const at = { operation: 'get', subject: `data/${tuesday}/` } as const
    store.plan({ kind: 'fail', when: 'before', error: fileError('EACCES'), at })

    await assert.rejects(runVerify({ scope: anew, workers: 1 }, behind(site, store).place, siteContext()), {
      code: 'store-unreachable',
    })

    const state = await readVerifyState(place.repository, place.cluster.id, siteContext())
    assert.ok(state?.groups.some(({ group }) => group === `packs/${monday}/0`) === true)
  })
})

describe('an entry of the catalogue that somebody put there', () => {
  for (const number of [302, 9_999_999_999]) {
    test(`is a finding, and the entries before it are another: ${number}`, async () => {
      const site = await createVerifySite()
      const { store } = site.place.repository
      const keyOf = (entry: number): string => catalogKey(site.place.cluster.id, entry)
      await store.putIfAbsent(keyOf(number), await bytesAt(site, keyOf(1)))

      const { damage } = await verify(site)

      assert.deepEqual(keysOf(damage), [keyOf(3), keyOf(number)])
    })
  }
})

describe('the recovery windows', () => {
  test('begin at no backup that verify calls lost', async () => {
    const site = await createVerifySite()
    const { place } = site
    await flip(site, site.keys.pack(monday, 2))
    await verify(site)
    const context = siteContext()
    const { backups } = await readCatalogue(place.repository, place.cluster.id, context)
    const inventory = await readArchiveInventory(place, context)
    const integrity = await readVerifyState(place.repository, place.cluster.id, context)

    const { windows } = await reachOfWhole({ backups, inventory }, { place, integrity }, context)

    assert.deepEqual(
      windows.map(({ oldest }) => oldest.label),
      [tuesday],
    )
  })
})

describe('one thing that is wrong', () => {
  test('is no conflict when only one of several contents is whole, and costs nothing', async () => {
    const site = await createVerifySite()
    const key = site.keys.segment(3)
    const bad = key.replace(/-[0-9a-f]{32}/, `-${'0'.repeat(32)}`)
    await site.place.repository.store.putIfAbsent(bad, await bytesAt(site, key))

    const { damage } = await verify(site)

    assert.deepEqual(
      damage.map(({ key: found, kind, backups, lost }) => [found, kind, backups, lost]),
      [[bad, 'wal', [], []]],
    )
  })

  test('is told once: a gap that begins before the WAL of a backup', async () => {
    const site = await createVerifySite()
    const missing = [9, 10, 11, 12].map((number) => site.keys.segment(number))
    await site.place.repository.store.delete(missing)

    assert.equal((await verify(site)).damage.length, 1)
  })

  test('is told once: a damaged history of a timeline with WAL', async () => {
    const site = await createVerifySite()
    const key = await archiveHistory(site.place, '00000002.history', '1\t0/1500000\treason\n')
    await archiveSegment(site.place, '000000020000000000000015', buildWal(21)[20] ?? assert.fail())
    await flip(site, key)

    const { damage } = await verify(site)

    assert.deepEqual(
      damage.filter(({ kind }) => kind === 'history').map((each) => each.key),
      [key],
    )
  })
})
