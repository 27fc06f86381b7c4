import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { BackupLabel } from '../../src/domain/backup-label.ts'
import { isOperationError } from '../../src/domain/operation-error.ts'
import { requireCluster } from '../../src/repository/cluster-record.ts'
import { openRepository } from '../../src/repository/open-repository.ts'
import { runVerify } from '../../src/verify/run-verify.ts'
import { recordingContext } from '../support/archive-fixture.ts'
import { buildObjects, newerBackup, olderBackup, siteUnlocker, storeOf } from './damaged-site.ts'
import { damages, type DamageName, type Objects } from './damages.ts'
import { objectKinds } from './object-kinds.ts'

/** What verify says of damage to a kind of object, but for the ways that `otherwise` names. */
interface Verdict {
  /** `found`: it names the object. `refused`: nothing can be opened, which says so. `silent`: nothing is lost by it. */
  readonly answer: 'found' | 'refused' | 'silent'
  /** The backups that it costs. */
  readonly backups?: readonly string[]
  readonly otherwise?: Partial<Record<DamageName, Verdict>>
}

const silent: Verdict = { answer: 'silent' }
const refused: Verdict = { answer: 'refused' }
const newer = [newerBackup]

/** By the names of `objectKinds`. X1, X4 and X7. */
const verdicts: Readonly<Record<string, Verdict>> = {
  'the header': refused,
  'the key slot': {
    ...refused,
    otherwise: { 'a sibling swapped with it': silent, 'moved to another name': silent },
  },
  'the cluster record': { ...refused, otherwise: { deleted: silent } },
  // What only the newest entry lists is not known; what the one before it listed cannot be restored either. Without it the
  // repository has gone back in time, which a host that remembers notices (docs/trust.md); older entries may be forgotten.
  'the newest catalogue entry': { answer: 'found', backups: [olderBackup], otherwise: { deleted: silent } },
  'an older catalogue entry': { answer: 'found', backups: [], otherwise: { deleted: silent } },
  'a lease': silent,
  'the newest verify state': silent,
  'the marks of sweep': silent,
  'a pack': { answer: 'found', backups: newer },
  'a manifest': { answer: 'found', backups: newer },
  'a part of a manifest': { answer: 'found', backups: newer },
  'a WAL segment': { answer: 'found', backups: newer },
  'the index of a segment': { answer: 'found', backups: [], otherwise: { deleted: silent } },
  'a history file': { answer: 'found', backups: [] },
}

const objects = await buildObjects()
const known = await findingsIn(objects)
assert.ok(known !== 'refused')

for (const kind of objectKinds) {
  const verdict = verdicts[kind.name] ?? assert.fail(`no verdict for ${kind.name}`)
  describe(`verify of a repository in which ${kind.name} has`, () => {
    for (const [name, damage] of Object.entries(damages) as [DamageName, (typeof damages)[DamageName]][]) {
      const strike = kind.strike(objects)
      const damaged = damage(objects, strike)
      if (damaged === undefined || name === 'copied under another name') continue
      const expected = verdict.otherwise?.[name] ?? verdict
      test(`${name} says ${expected.answer}`, async () => {
        const found = await findingsIn(damaged)

        if (found === 'refused' || expected.answer === 'refused') {
          assert.equal(found === 'refused' ? found : 'opened', expected.answer)
          return
        }
        const added = found.filter(({ key }) => !known.some((other) => other.key === key))
        const own = added.filter(({ key }) => key === strike.key || key === strike.otherName)
        const told = JSON.stringify(
          added.map(({ key, kind: what, problem, backups }) => [what, key, problem, backups]),
        )
        if (expected.answer === 'silent') assert.deepEqual(added, [], told)
        else
          assert.ok(
            own.length > 0 || added.some(({ key }) => strike.key.startsWith(key)),
            `not found: ${told}`,
          )
        const cost = new Set(added.flatMap(({ backups }) => backups))
        for (const label of expected.backups ?? []) assert.ok(cost.has(label as BackupLabel), told)
      })
    }
  })
}

async function findingsIn(
  damaged: Objects,
): Promise<Awaited<ReturnType<typeof runVerify>>['damage'] | 'refused'> {
  const context = recordingContext()
  try {
    const repository = await openRepository(await storeOf(damaged), { unlocker: siteUnlocker }, context)
    const cluster = await requireCluster(repository, 'main', context)
    const request = { scope: { kind: 'anew' }, workers: 1 } as const
    const { damage } = await runVerify(request, { repository, cluster }, context)
    return damage
  } catch (error) {
    if (isOperationError(error)) return 'refused'
    throw error
  }
}
