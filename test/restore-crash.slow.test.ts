import assert from 'node:assert/strict'
import { readdir, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fullCheck } from './support/full-check.ts'
import { expectOk } from './support/holdfast.ts'
import { prepareLedger } from './support/ledger-schema.ts'
import { startLedger } from './support/ledger.ts'
import { openServer } from './support/postgres-server.ts'
import { startProtectedCluster } from './support/protected-cluster.ts'
import { createScratch } from './support/scratch.ts'

const killCount = 14

describe('restore that is killed', () => {
  test('leaves a directory that cannot be started, and the same command completes it (P7, P8, R47)', async (t) => {
    await using scratch = await createScratch('crash')
    await using cluster = await startProtectedCluster(scratch, { major: 17 })
    const { server } = cluster
    const place = await scratch.makeFolder('space')
    await server.query(`create tablespace side location '${place}'`)
    await server.query('create table far tablespace side as select * from generate_series(1, 200000) as id')
    await prepareLedger(server)
    await using ledger = await startLedger(server)
    await ledger.advance(50)
    await cluster.takeBackup()
    await ledger.advance(50)
    const mark = await ledger.marker()
    await ledger.advance(5)
    await ledger.stop()
    await server.query('select pg_switch_wal()')
    await server.stop()
    const target = join(scratch.folder, 'restored')
    const moved = join(scratch.folder, 'moved')
    const env = { PATH: `${server.binDirectory}:${dirname(process.execPath)}:/usr/bin:/bin` }
    const goal = ['--target-lsn', mark.lsn, '--target-exclusive']
    const args = ['restore', '--target-dir', target, '--tablespace-map', `side=${moved}`, ...goal]

    let begun = 0
    for (let turn = 1; turn <= killCount; turn += 1) {
      const running = cluster.start(args, env)
      // From the first file to somewhere in recovery, however busy the machine is.
      await untilThere(join(target, 'holdfast-restore-in-progress'), running.ended)
      setTimeout(() => running.kill('SIGKILL'), (turn - 1) * 70)
      const { signal, code, stderr } = await running.ended
      if (code === 0) break
      assert.equal(signal, 'SIGKILL', stderr)
      if (!(await exists(target))) continue
      begun += 1
      const names = await readdir(target)
      assert.ok(names.length === 0 || isMarked(names), names.join(' '))
      if (await exists(join(target, 'global', 'pg_control'))) continue
      await assert.rejects(
        openServer({ dataDirectory: target, major: 17, scratch }),
        /ended with \d+ while starting/,
      )
    }
    t.diagnostic(`${begun} of ${killCount} kills came after the restore had begun`)
    assert.ok(begun > 0, 'no kill came in time')
    const isUnfinished = (await exists(target)) && isMarked(await readdir(target))
    if (isUnfinished) expectOk(await cluster.run(args, env))

    await using restored = await openServer({ dataDirectory: target, major: 17, scratch })
    await fullCheck(restored, { expected: ledger.expected(mark), exact: true })
    const [far] = await restored.query<{ count: string }>('select count(*) from far')
    assert.equal(far?.count, '200000')
    assert.ok(!(await readdir(target)).some((name) => name.startsWith('holdfast-')))
    assert.ok(!(await readdir(moved)).some((name) => name.startsWith('holdfast-')))
  })
})

/** A restore that is killed while it takes over from a dead one leaves the marker of that one, under its second name. */
function isMarked(names: readonly string[]): boolean {
  return names.some((name) => name.startsWith('holdfast-restore-in-progress'))
}

/** Or until there is nobody left who could make it. */
async function untilThere(path: string, end: Promise<unknown>): Promise<void> {
  const isOver = end.then(() => true)
  while (!(await exists(path)) && !(await Promise.race([isOver, sleep(5, false)]))) await sleep(5)
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}
