import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { isOperationError } from '../../src/domain/operation-error.ts'
import { readProcessIdentity } from '../../src/platform/process-identity.ts'
import { requireCluster } from '../../src/repository/cluster-record.ts'
import { leaseLifetimeMs } from '../../src/repository/lease-beat.ts'
import { acquireLease } from '../../src/repository/lease.ts'
import { leaseKey } from '../../src/repository/object-keys.ts'
import { openRepository } from '../../src/repository/open-repository.ts'
import { readSweepMarks } from '../../src/retention/sweep-marks.ts'
import { readVerifyState } from '../../src/verify/verify-state-store.ts'
import { runVerify } from '../../src/verify/run-verify.ts'
import { recordingContext } from '../support/archive-fixture.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { testContext, testRepository } from '../support/repository.ts'
import { buildObjects, siteUnlocker, storeOf } from './damaged-site.ts'
import { damages, type DamageName, type Objects } from './damages.ts'
import { objectKinds } from './object-kinds.ts'

/** What leaves an object in its place that does not open. */
const ofBytes: readonly DamageName[] = [
  'a bit in its middle flipped',
  'half of it cut off',
  'all of it cut off',
  'junk behind it',
  'a sibling copied over it',
]

const objects = await buildObjects()

describe('what verify and sweep remember', () => {
  for (const damage of ofBytes) {
    test(`is told to be lost, and begun anew, when its newest object has ${damage} (X1)`, async () => {
      const place = await open(damagedAt('the newest verify state', damage))
      const marks = await open(damagedAt('the marks of sweep', damage))
      const [reading, verifying, sweeping] = [recordingContext(), recordingContext(), recordingContext()]

      const remembered = await readVerifyState(place.repository, place.cluster.id, reading)
      const report = await runVerify({ scope: { kind: 'everything' }, workers: 1 }, place, verifying)
      const marked = await readSweepMarks(marks.repository, marks.cluster.id, sweeping)

      assert.equal(remembered?.writtenAtMs, 1)
      assert.match(warningsOf(reading), /what verify knew is passed over/)
      assert.match(warningsOf(verifying), /what verify knew is passed over/)
      assert.equal(report.passedOverBytes, 0)
      assert.equal(marked.marks.size, 0)
      assert.match(warningsOf(sweeping), /what the last sweep had marked cannot be read/)
    })
  }
})

describe('the lease of a backup whose newest beat is damaged', () => {
  test('is busy, and goes to the next when its holder has been silent for its lifetime', async () => {
    const clock = new ManualClock()
    const context = testContext({ clock })
    const repository = await testRepository(context)
    const self = readProcessIdentity()
    const request = { clusterId: '00000000000000aa', scope: 'backup', purpose: 'a backup', holder: self }
    const elsewhere = { ...self, host: 'other-host', bootId: 'another boot' }
    await using holder = await acquireLease(repository, { ...request, holder: elsewhere }, context)
    const key = leaseKey(request.clusterId, 'backup', { token: holder.token, beat: 1 })
    await repository.store.putIfAbsent(key, Buffer.from('nonsense'))

    await assert.rejects(acquireLease(repository, request, context), (error) =>
      isOperationError(error, 'busy'),
    )
    clock.skip(3 * leaseLifetimeMs + 1)
    const taking = acquireLease(repository, request, context)
    for (let step = 0; step < 10; step += 1) await clock.advance(leaseLifetimeMs / 6)
    await using taker = await taking
    assert.equal(taker.token, holder.token + 1)
  })
})

function damagedAt(name: string, damage: DamageName): Objects {
  const strike = objectKinds.find((kind) => kind.name === name)?.strike(objects)
  assert.ok(strike)
  return damages[damage](objects, strike) ?? assert.fail()
}

async function open(damaged: Objects) {
  const context = recordingContext()
  const repository = await openRepository(await storeOf(damaged), { unlocker: siteUnlocker }, context)
  return { repository, cluster: await requireCluster(repository, 'main', context) }
}

function warningsOf({ events }: ReturnType<typeof recordingContext>): string {
  return events.flatMap((event) => (event.kind === 'warning' ? [event.message] : [])).join('\n')
}
