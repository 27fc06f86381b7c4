import { describe, test } from 'node:test'
import assert from 'node:assert/strict'
import { fullCheck } from './support/full-check.ts'
import { prepareLedger } from './support/ledger-schema.ts'
import { startLedger } from './support/ledger.ts'
import { startProtectedCluster } from './support/protected-cluster.ts'
import { createScratch } from './support/scratch.ts'

describe('an incremental backup', () => {
  for (const major of [14, 15, 16, 17, 18] as const) {
    test(`of PostgreSQL ${major} under load reads what changed and recovers to every commit (R50, R51)`, async () => {
      await using scratch = await createScratch('incremental')
      await using cluster = await startProtectedCluster(scratch, { major })
      await prepareLedger(cluster.server)
      await using ledger = await startLedger(cluster.server)
      await ledger.advance(100)
      const full = await cluster.takeBackup()
      await ledger.advance(100)

      const audited = await cluster.takeBackup()
      await ledger.advance(100)
      const { backup } = await cluster.takeBackup()

      assert.deepEqual(
        [full.backup, audited.backup, backup].map(({ type, parent, isAudited }) => [type, parent, isAudited]),
        [
          ['full', null, false],
          ['incr', full.backup.label, true],
          ['incr', audited.backup.label, false],
        ],
      )
      await ledger.advance(100)
      await ledger.stop()
      await using recovered = await cluster.recover(backup.label)
      await fullCheck(recovered, { expected: ledger.expected(), exact: true })
    })
  }
})
