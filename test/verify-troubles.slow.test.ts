import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, test } from 'node:test'
import type { Damage } from '../src/verify/damage.ts'
import type { VerifyScope } from '../src/verify/plan-verify.ts'
import { runVerify, type VerifyReport } from '../src/verify/run-verify.ts'
import { FaultyStore } from './support/faulty-store.ts'
import { flipBit, replaceObject } from './support/repository-samples.ts'
import { createVerifySite, monday, siteContext, type SiteContext, type VerifySite } from './verify-site.ts'

const anew: VerifyScope = { kind: 'anew' }

const verify = (
  { place }: Pick<VerifySite, 'place'>,
  { context = siteContext(), scope = anew }: { context?: SiteContext; scope?: VerifyScope } = {},
): Promise<VerifyReport> => runVerify({ scope, workers: 2 }, place, context)

const flip = async ({ place }: VerifySite, key: string): Promise<void> => {
  const bytes = (await place.repository.store.get(key)) ?? assert.fail(`there is no "${key}"`)
  await replaceObject(place.repository, key, flipBit(bytes, 1000))
}

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
