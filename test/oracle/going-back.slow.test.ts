import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { BackupDocument } from '../../src/api/backup-document.ts'
import { archiveEverything } from '../support/archive-everything.ts'
import { fullCheck } from '../support/full-check.ts'
import { expectOk, runHoldfast } from '../support/holdfast.ts'
import type { TestServer } from '../support/postgres-server.ts'
import { createScratch } from '../support/scratch.ts'
import { startUserSite, type UserSite } from '../support/user-site.ts'
import { assertSameContents, contentsOf } from './contents.ts'
import { columns, indexMethods, rows, type IndexMethod } from './world.ts'

describe('an incremental of a server that went back to an earlier moment', () => {
  test('goes on from the last backup before it, and misses nothing of either way (R53)', async () => {
    await using scratch = await createScratch('back')
    await using site = await startUserSite({ major: 18, scratch, walSegmentSizeMb: 1 })
    const { server } = site
    await fill(server)
    const full = await site.backup()
    await change(server, 1)
    const last = await site.backup()
    await change(server, 2)
    const [fork] = await server.query<{ lsn: string }>('select pg_current_wal_insert_lsn()::text as lsn')
    await change(server, 3)
    // The same LSNs, and LSNs that are greater than those to come, in blocks that nobody will have.
    const abandoned = await site.backup()
    await site.switchWal()

    const back = ['--target-lsn', fork?.lsn ?? '', '--target-exclusive', '--continue-lineage']
    await using heir = await site.restore('heir', '--backup', full, ...back)
    await server.stop()
    await change(heir, 4)
    const audited = await takeFrom(site, heir, '--audit')
    await change(heir, 5)
    const plain = await takeFrom(site, heir)

    assert.deepEqual([audited.parent, audited.isAudited], [last, true])
    assert.deepEqual([plain.parent, plain.type], [audited.label, 'incr'])
    assert.notEqual(audited.parent, abandoned)
    await change(heir, 6)
    await archiveEverything(heir)
    const expected = await contentsOf(heir)
    const target = ['--backup', plain.label, '--target-timeline', 'current']
    await using restored = await site.restore('restored', ...target)
    assertSameContents(await contentsOf(restored), expected)
    await fullCheck(restored)
  })
})

async function fill(server: TestServer): Promise<void> {
  const methods = indexMethods.filter((method): method is Exclude<IndexMethod, 'bloom'> => method !== 'bloom')
  const onColumn = { btree: 'id', hash: 'region', gin: 'tags', gist: 'place', spgist: 'place', brin: 'id' }
  await server.query(`create table t ${columns}`)
  await server.query(`insert into t ${rows(1, 5000, 4)}`)
  for (const method of methods) await server.query(`create index on t using ${method} (${onColumn[method]})`)
  await server.query('vacuum (freeze) t')
}

/** Other rows each time, so other blocks. */
async function change(server: TestServer, turn: number): Promise<void> {
  await server.query(`update t set filling = reverse(filling) where id / 100 % 7 = ${turn}`)
  await server.query(`delete from t where id % 97 = ${turn}`)
  await server.query(`insert into t ${rows(turn * 10_000, turn * 10_000 + 200, 2)}`)
  await server.query(`create table of_turn_${turn} as ${rows(1, 500, turn)}`)
}

async function takeFrom(
  site: UserSite,
  server: TestServer,
  ...options: readonly string[]
): Promise<BackupDocument['backup']> {
  const env = { HOLDFAST_CLUSTERS_MAIN_CONNECTION: server.connectionString }
  const args = ['--output', 'json', 'backup', '--type', 'incr', ...options]
  const { stdout, stderr } = expectOk(await runHoldfast(args, { config: site.configuration, env }))
  assert.doesNotMatch(stderr, /everything is read/)
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what it says is what the test looks at
  return (JSON.parse(stdout) as BackupDocument).backup
}
