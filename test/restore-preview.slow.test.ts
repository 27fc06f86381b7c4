import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { everydayMajors } from './support/everyday.ts'
import { createScratch } from './support/scratch.ts'
import { startUserSite, type UserSite } from './support/user-site.ts'

interface Previewed {
  readonly edge: Readonly<Record<'lastKept' | 'firstLost', { xid: string; time: string } | null>> & {
    readonly isCertain: boolean
  }
  readonly estimatedMs: number | null
}

for (const major of everydayMajors) {
  describe(`restore --dry-run, on PostgreSQL ${major},`, () => {
    test('tells the last commit that is kept and the first one that is lost, and from the last drill how long it takes', async () => {
      await using scratch = await createScratch('preview')
      await using site = await startUserSite({
        major,
        scratch,
        settings: { autovacuum: false, track_commit_timestamp: 'on' },
      })
      await site.server.query('create table said (t text)')
      await site.backup()
      const [one, two, three] = [await say(site, 'one'), await say(site, 'two'), await say(site, 'three')]
      await site.server.query("select pg_create_restore_point('there')")
      const four = await say(site, 'four')
      await site.switchWal()

      const cases = [
        [['--target-lsn', two.lsn, '--target-exclusive'], one, two],
        [['--target-time', two.time], two, three],
        [['--target-time', two.time, '--target-exclusive'], one, two],
        [['--target-xid', two.xid], two, three],
        [['--target-xid', two.xid, '--target-exclusive'], one, two],
        [['--target-name', 'there'], three, four],
        [[], four, undefined],
      ] as const
      for (const [options, kept, lost] of cases) {
        const { edge, estimatedMs } = await preview(site, ...options)
        assert.deepEqual(
          [edge.lastKept?.xid, edge.firstLost?.xid, edge.isCertain],
          [kept.xid, lost?.xid, true],
          options.join(' '),
        )
        assert.equal(estimatedMs, null)
      }
      const { edge } = await preview(site, '--target-time', two.time)
      const target = join(site.folder, 'restored')
      const restored = await site.answer('restore', '--target-dir', target, '--target-time', two.time)
      assert.equal((restored['reached'] as { commitTime: string }).commitTime, edge.lastKept?.time)
      await site.answer('drill', '--sandbox-directory', join(site.folder, 'sandboxes'))
      assert.ok(((await preview(site)).estimatedMs ?? 0) > 100)
    })
  })
}

/** In a transaction of its own. Gives where it began, when it was committed, and its number. */
async function say({ server }: UserSite, text: string): Promise<{ lsn: string; time: string; xid: string }> {
  const [begun] = await server.query<{ lsn: string }>('select pg_current_wal_insert_lsn()::text as lsn')
  const [said] = await server.query<{ xid: string }>(
    'insert into said values ($1) returning (pg_current_xact_id()::text::bigint & 4294967295)::text as xid',
    [text],
  )
  const [row] = await server.query<{ time: string }>(
    `select to_char(pg_xact_commit_timestamp('${said?.xid}'::xid) at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as time`,
  )
  return { lsn: begun?.lsn ?? '', xid: said?.xid ?? '', time: row?.time ?? '' }
}

async function preview(site: UserSite, ...options: readonly string[]): Promise<Previewed> {
  const target = join(site.folder, 'nowhere')
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what it says is what the test looks at
  return (await site.answer(
    'restore',
    '--dry-run',
    '--target-dir',
    target,
    ...options,
  )) as unknown as Previewed
}
