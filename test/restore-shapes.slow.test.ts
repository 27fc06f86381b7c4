import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { isComplete } from './support/everyday.ts'
import { fullCheck } from './support/full-check.ts'
import { prepareLedger } from './support/ledger-schema.ts'
import { startLedger } from './support/ledger.ts'
import { createScratch } from './support/scratch.ts'
import { supportedMajors } from './support/server-binaries.ts'
import { startUserSite } from './support/user-site.ts'

/**
 * Every supported major, with checksums and without, with segments of 1 MB and of 16 MB, each with a tablespace, under load:
 * one of the four for each major, in turn, or all.
 */
const shapes = supportedMajors.flatMap((major, turn) =>
  [true, false]
    .flatMap((checksums) => [1, 16].map((walSegmentSizeMb) => ({ major, checksums, walSegmentSizeMb })))
    .filter((_, index, all) => isComplete || index === turn % all.length),
)

describe('a full backup under load restores to everything acknowledged', () => {
  for (const { major, checksums, walSegmentSizeMb } of shapes) {
    test(`on PostgreSQL ${major}, checksums ${checksums ? 'on' : 'off'}, segments of ${walSegmentSizeMb} MB`, async () => {
      await using scratch = await createScratch('shape')
      await using site = await startUserSite({ major, checksums, walSegmentSizeMb, scratch })
      const { server } = site
      const place = await scratch.makeFolder(`space-${server.port}`)
      await server.query(`create tablespace side location '${place}'`)
      await server.query('create table apart (id int primary key, t text) tablespace side')
      await server.query(
        `insert into apart select i, repeat(md5(i::text), 5) from generate_series(1, 20000) i`,
      )
      await prepareLedger(server)
      await using ledger = await startLedger(server)
      await ledger.advance(60)
      await site.backup()
      await ledger.advance(60)
      await ledger.stop()
      await site.switchWal()

      const moved = join(site.folder, 'moved space')
      await using restored = await site.restore('restored', '--tablespace-map', `side=${moved}`)

      await fullCheck(restored, { expected: ledger.expected(), exact: true })
      const [row] = await restored.query<{ count: string; place: string }>(
        `select count(*), (select pg_tablespace_location(oid) from pg_tablespace where spcname = 'side') as place from apart`,
      )
      assert.deepEqual({ count: Number(row?.count), place: row?.place }, { count: 20_000, place: moved })
      assert.equal(await server.query('select 1').then((rows) => rows.length), 1, 'the source still runs')
    })
  }
})
