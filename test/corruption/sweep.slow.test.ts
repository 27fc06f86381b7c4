import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { temporaryFolder } from '../support/archive-fixture.ts'
import { buildObjects } from './damaged-site.ts'
import { damages, type DamageName } from './damages.ts'
import { expectation, objectKinds, type Expectation, type ObjectKind } from './object-kinds.ts'
import { probes, type Outcome, type ProbeName } from './probes.ts'

const objects = await buildObjects()

// RULES 3.4, X2 and X3: what is damaged is refused by whoever needs it, by its name, before anything could be started; whoever
// does not need it does not notice.
for (const kind of objectKinds) {
  describe(`a repository in which ${kind.name} has`, () => {
    for (const [name, damage] of Object.entries(damages) as [DamageName, (typeof damages)[DamageName]][]) {
      const strike = kind.strike(objects)
      const damaged = damage(objects, strike)
      if (damaged === undefined) continue
      test(`${name} is refused by what needs it, and by nothing else`, async () => {
        await using folder = await temporaryFolder()
        for (const probe of Object.keys(probes) as ProbeName[]) {
          const found = await probes[probe](damaged, folder.path)
          const intact = await outcomeOfIntact(probe)
          const expected = expectation(kind, name, probe)
          judge({ kind, key: strike.key, probe }, expected, { found, intact })
        }
      })
    }
  })
}

const intactOutcomes = new Map<ProbeName, Outcome>()

async function outcomeOfIntact(probe: ProbeName): Promise<Outcome> {
  const known = intactOutcomes.get(probe)
  if (known !== undefined) return known
  await using folder = await temporaryFolder()
  const outcome = await probes[probe](objects, folder.path)
  assert.equal(outcome.kind, 'done', `${probe} of the undamaged repository`)
  intactOutcomes.set(probe, outcome)
  return outcome
}

interface Case {
  readonly kind: ObjectKind
  readonly key: string
  readonly probe: ProbeName
}

function judge(
  { kind, key, probe }: Case,
  expected: Expectation,
  { found, intact }: { readonly found: Outcome; readonly intact: Outcome },
): void {
  const told = `${probe}: ${found.kind === 'refused' ? `${found.error.code}: ${found.error.message}` : found.kind}`
  if (expected.kind === 'same' || (expected.kind === 'refused' && expected.orSame && found.kind === 'done')) {
    assert.deepEqual(found, intact, told)
    return
  }
  assert.equal(found.kind, expected.kind, told)
  if (found.kind !== 'refused' || expected.kind !== 'refused') return
  assert.ok(expected.exitCodes.includes(found.error.exitCode), told)
  assert.ok(!found.error.message.includes('\n'), told)
  if (expected.orSame) return
  assert.ok(
    kind.says === undefined ? found.error.message.includes(key) : kind.says.test(found.error.message),
    told,
  )
}
