import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fullCheck } from '../support/full-check.ts'
import { expectOk } from '../support/holdfast.ts'
import { prepareLedger } from '../support/ledger-schema.ts'
import { startLedger } from '../support/ledger.ts'
import { killServerIn, processesIn } from '../support/live-processes.ts'
import { createScratch } from '../support/scratch.ts'
import { startUserSite, type UserSite } from '../support/user-site.ts'
import { waitUntil } from '../support/wait.ts'

/** After the recovering server's first sign of life. */
const killsAfterMs = [0, 150, 600]

describe('a recovery whose server is killed', () => {
  test('is reported, and goes on to the same end when it is started again (C3)', async () => {
    await using scratch = await createScratch('replay')
    await using site = await startUserSite({ major: 17, scratch })
    const { server } = site
    await prepareLedger(server)
    await using ledger = await startLedger(server, { ratePerSecond: 100 })
    await site.backup()
    await ledger.advance(20)
    // Something to replay: tens of segments.
    await server.query('create table filler as select id, md5(id::text) from generate_series(1, 1500000) id')
    await server.query('create index on filler (id)')
    const mark = await ledger.marker()
    await ledger.advance(20)
    await ledger.stop()
    await site.switchWal()
    const goal = ['--target-lsn', mark.lsn, '--target-exclusive']
    const expected = ledger.expected(mark)

    const target = join(site.folder, 'by-us')
    const restore = ['restore', '--target-dir', target, ...goal]
    let struckCount = 0
    for (const afterMs of killsAfterMs) {
      const running = site.run(...restore)
      await untilKilled(target, { afterMs, running })
      const { code, stderr } = await running
      if (code === 0) break
      struckCount += 1
      assert.equal(code, 1, stderr)
      assert.match(stderr, /^error: recovering .*the server ended/m)
      assert.ok(existsSync(join(target, 'holdfast-restore-in-progress')))
    }
    assert.ok(struckCount > 0, 'no kill came in time')
    if (existsSync(join(target, 'holdfast-restore-in-progress'))) expectOk(await site.run(...restore))
    await using byUs = await site.open(target)
    await fullCheck(byUs, { expected, exact: true })

    await recoverByHand(site, goal)
    await using byHand = await site.open(join(site.folder, 'by-hand'))
    await waitUntil('the end of recovery', async () => {
      const [row] = await byHand.query<{ over: boolean }>('select not pg_is_in_recovery() as over')
      return row?.over
    })
    await fullCheck(byHand, { expected, exact: true })
  })
})

/** With a server that the operator starts, and that dies in the midst of it. */
async function recoverByHand(site: UserSite, goal: readonly string[]): Promise<void> {
  const target = join(site.folder, 'by-hand')
  expectOk(await site.run('restore', '--target-dir', target, '--files-only', ...goal))
  await using server = await site.open(target)
  await sleep(100)
  await server.kill()
}

/** Kills whatever works in the directory, so long after it has begun to; nothing if the command was faster. */
async function untilKilled(
  directory: string,
  { afterMs, running }: { readonly afterMs: number; readonly running: Promise<unknown> },
): Promise<void> {
  let isOver = false
  const end = running.finally(() => {
    isOver = true
  })
  const isThere = (): boolean =>
    isOver || (existsSync(join(directory, 'postmaster.pid')) && processesIn(directory).length > 0)
  await waitUntil('the recovering server', isThere, { intervalMs: 5 })
  await Promise.race([sleep(afterMs), end])
  await killServerIn(directory)
}
