import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { archiveEverything } from './support/archive-everything.ts'
import { everydayMajors, isComplete } from './support/everyday.ts'
import { fullCheck } from './support/full-check.ts'
import { prepareLedger } from './support/ledger-schema.ts'
import { startLedger } from './support/ledger.ts'
import { createScratch } from './support/scratch.ts'
import { supportedMajors } from './support/server-binaries.ts'
import { startUserSite } from './support/user-site.ts'

/** The newest major gets every kind of target; the others share the kinds. */
const sharing: readonly number[] = supportedMajors.slice(0, -1)

/** Whether a case is for this major. */
const isFor = (major: number, index: number): boolean =>
  isComplete || !sharing.includes(major) || index % sharing.length === sharing.indexOf(major)

describe('restore reaches exactly the moment that was asked for', () => {
  for (const major of supportedMajors) {
    test(`by kinds of target on PostgreSQL ${major} (R41)`, async () => {
      await using scratch = await createScratch('targets')
      await using site = await startUserSite({ major, scratch })
      const { server } = site
      await prepareLedger(server)
      await using ledger = await startLedger(server)
      await ledger.advance(30)
      await site.backup()
      const marks = []
      for (const name of ['first', 'second']) {
        await ledger.advance(30)
        marks.push({ name, ...(await ledger.marker({ restorePoint: `mark ${name}'s`, xid: true })) })
      }
      await ledger.advance(30)
      await ledger.stop()
      await site.switchWal()
      const [first, second] = marks
      assert.ok(first && second)

      const cases = [
        { options: ['--target-time', first.time.replace(' ', 'T')], mark: first },
        { options: ['--target-time', second.time, '--target-exclusive'], mark: second },
        { options: ['--target-lsn', first.lsn, '--target-exclusive'], mark: first },
        { options: ['--target-xid', String(second.xid)], mark: second },
        { options: ['--target-name', `mark second's`], mark: second },
        { options: [], mark: undefined },
      ]
      for (const [index, { options, mark }] of cases.entries()) {
        if (!isFor(major, index)) continue
        await using restored = await site.restore(`restored-${index}`, ...options)
        await fullCheck(restored, { expected: ledger.expected(mark), exact: true })
      }
      await using immediate = await site.restore('restored-immediate', '--target-immediate')
      const { ledgerRows } = await fullCheck(immediate)
      assert.ok(ledgerRows >= 30 && ledgerRows < first.acknowledgedCount + 30)
    })
  }

  for (const major of everydayMajors) {
    test(`on the timeline after a promotion, and on the one before, on PostgreSQL ${major} (R37)`, async () => {
      await using scratch = await createScratch('promoted')
      await using site = await startUserSite({ major, scratch, walSegmentSizeMb: 1 })
      await prepareLedger(site.server)
      await using before = await startLedger(site.server)
      await before.advance(30)
      await site.backup()
      await before.advance(30)
      const fork = await before.marker()
      await before.advance(30)
      await before.stop()
      await site.switchWal()

      await using heir = await site.restore(
        'heir',
        '--target-lsn',
        fork.lsn,
        '--target-exclusive',
        '--continue-lineage',
      )
      await using after = await startLedger(heir, { seed: 7 })
      await after.advance(30)
      const later = await after.marker()
      await after.advance(30)
      await after.stop()
      await archiveEverything(heir)

      const onTwo = ['--target-timeline', '2', '--target-time', later.time]
      await using second = await site.restore('second', ...onTwo)
      const present = [...before.expected(fork).present, ...after.expected(later).present]
      const absent = before.expected().present.slice(fork.acknowledgedCount)
      await fullCheck(second, { expected: { present, absent, unknown: [] }, exact: true })
      await using first = await site.restore('first', '--target-timeline', '1')
      await fullCheck(first, { expected: before.expected(), exact: true })
    })
  }
})
