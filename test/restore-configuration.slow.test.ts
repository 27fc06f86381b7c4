import assert from 'node:assert/strict'
import { appendFile, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { prepareLedger } from './support/ledger-schema.ts'
import { fullCheck } from './support/full-check.ts'
import { giveTree } from './support/give-tree.ts'
import { startLedger } from './support/ledger.ts'
import { createScratch } from './support/scratch.ts'
import { startUserSite } from './support/user-site.ts'

describe('restore of a cluster with a past', () => {
  for (const major of [14, 18] as const) {
    test(`is not led astray by signals, delays and targets that it left behind, on PostgreSQL ${major} (R44, R45)`, async () => {
      await using scratch = await createScratch('past')
      await using site = await startUserSite({ major, scratch })
      const { server } = site
      const { dataDirectory } = server
      await prepareLedger(server)
      // What a role change, a delayed standby and an earlier recovery leave: none of it concerns a running primary.
      await server.query(`alter system set recovery_min_apply_delay = '1h'`)
      await mkdir(join(dataDirectory, 'conf.d'), { mode: 0o700 })
      await writeFile(
        join(dataDirectory, 'conf.d', 'old.conf'),
        `recovery_target_time = '2020-01-01 00:00:00+00'\n`,
      )
      await appendFile(join(dataDirectory, 'postgresql.conf'), `\ninclude_dir 'conf.d'\n`)
      await giveTree(dataDirectory, scratch.user)
      await using ledger = await startLedger(server)
      await ledger.advance(20)
      await writeFile(join(dataDirectory, 'standby.signal'), '')
      await giveTree(dataDirectory, scratch.user)
      await site.backup()
      await ledger.advance(20)
      const mark = await ledger.marker()
      await ledger.advance(20)
      await ledger.stop()
      await site.switchWal()

      await using restored = await site.restore('restored', '--target-lsn', mark.lsn, '--target-exclusive')

      const report = await fullCheck(restored, { expected: ledger.expected(mark), exact: true })
      assert.ok(report.ledgerRows > 0)
    })
  }
})
