import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { SweepDocument } from '../src/api/sweep-document.ts'
import { fullCheck } from './support/full-check.ts'
import { prepareLedger } from './support/ledger-schema.ts'
import { startLedger } from './support/ledger.ts'
import { createScratch } from './support/scratch.ts'
import { startHoldfast } from './support/start-holdfast.ts'
import { startUserSite, type UserSite } from './support/user-site.ts'
import { waitUntil } from './support/wait.ts'

describe('repo sweep', () => {
  test('frees what a deleted backup needed, after its grace or when it is told to, and nothing else (R66)', async () => {
    await using scratch = await createScratch('sweep')
    await using site = await startUserSite({ major: 16, scratch, walSegmentSizeMb: 1 })
    await prepareLedger(site.server)
    await using ledger = await startLedger(site.server)
    const first = await site.backup()
    await ledger.advance(20)
    await site.backup('--type', 'full')
    await ledger.advance(20)
    await ledger.stop()
    await site.switchWal()
    await site.answer('delete', first, '--confirm', 'main')

    const planned = await sweep(site, '--dry-run')
    assert.ok(planned.waiting.pack.count > 0 && planned.waiting.wal.count > 0)
    assert.equal(planned.waiting.manifest.count, 2) // its head and one part
    const marked = await sweep(site)
    assert.deepEqual(marked.waiting, planned.waiting)
    assert.ok(marked.nextDueAt !== null)
    const refused = await site.run('repo', 'sweep', '--grace', '0s')
    assert.equal(refused.code, 5)
    assert.match(refused.stderr, /expected the name "main" as confirmation/)
    const swept = await sweep(site, '--grace', '0s', '--confirm', 'main')
    assert.deepEqual(swept.deleted, planned.waiting)
    assert.deepEqual((await sweep(site)).waiting, (await sweep(site)).deleted)

    await using restored = await site.restore('restored')
    await fullCheck(restored, { expected: ledger.expected(), exact: true })
    assert.equal((await site.run('verify')).code, 0)
  })

  test('keeps its hands off while a backup runs, and says why', async () => {
    await using scratch = await createScratch('sweep-running')
    await using site = await startUserSite({ major: 18, scratch, walSegmentSizeMb: 1 })
    const first = await site.backup()
    await site.backup()
    await site.answer('delete', first, '--confirm', 'main')
    const running = startHoldfast(['backup', '--type', 'full', '--max-rate', '200kB'], {
      config: site.configuration,
    })
    await waitUntil('the sweep to see the backup', async () => (await sweep(site)).postponedFor !== null)
    const { postponedFor, deleted } = await sweep(site, '--grace', '0s', '--confirm', 'main')

    assert.match(postponedFor ?? '', /^backup of cluster "main"/)
    assert.equal(deleted.pack.count, 0)
    running.kill('SIGTERM')
    await running.ended
  })
})

async function sweep(site: UserSite, ...options: readonly string[]): Promise<SweepDocument['repos'][number]> {
  const { repos } = (await site.answer('repo', 'sweep', ...options)) as unknown as SweepDocument
  return repos[0] ?? assert.fail('no repo was swept')
}
