import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { open, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import type { DrillDocument } from '../src/api/drill-document.ts'
import type { CheckDocument } from '../src/api/check-document.ts'
import { everydayMajors } from './support/everyday.ts'
import { prepareLedger } from './support/ledger-schema.ts'
import { startLedger } from './support/ledger.ts'
import { createScratch } from './support/scratch.ts'
import { startHoldfast } from './support/start-holdfast.ts'
import { startUserSite, type UserSite } from './support/user-site.ts'
import { waitUntil } from './support/wait.ts'

for (const major of everydayMajors) {
  describe(`drill, on PostgreSQL ${major},`, () => {
    test('proves a restore, and says what was reached against what is archived', async () => {
      await using scratch = await createScratch('drill')
      await using site = await startUserSite({ major, scratch })
      const place = await scratch.makeFolder(`space-${site.server.port}`)
      await site.server.query(`create tablespace side location '${place}'`)
      await site.server.query('create table apart tablespace side as select generate_series(1, 5000) as i')
      await prepareLedger(site.server)
      await using ledger = await startLedger(site.server, { ratePerSecond: 100 })
      await site.backup()
      await ledger.advance(50)
      await ledger.stop()
      await site.switchWal()
      const assertions = join(site.folder, 'assertions.sql')
      await writeFile(assertions, '-- what must hold\nselect count(*) > 0\n  from apart;\nselect true;\n')

      const drill = await answered(site, 0, '--sql', assertions)
      const wrong = join(site.folder, 'wrong.sql')
      await writeFile(
        wrong,
        'select true;\nselect count(*) = 0 from apart;\nselect i from apart;\nselect 1/0;\n',
      )
      const failed = await answered(site, 4, '--sql', wrong)
      const random = await answered(site, 0, '--random')

      assert.equal(drill.outcome, 'passed')
      assert.deepEqual(
        drill.checks.map(({ name, state, findings }) => [name, state, findings]),
        ['recovery', 'pages', 'indexes', 'tables', 'visibility', 'rows', 'losses', 'assertions'].map(
          (name) => [name, 'passed', []],
        ),
      )
      // What was rolled back after the last commit counts here, and not there.
      assert.ok(drill.archivedCommitAt !== null && (drill.lastCommitAt ?? '') >= drill.archivedCommitAt)
      assert.ok(
        drill.writtenBytes > 20_000_000 && drill.filesMs > 0 && drill.recoveryMs > 0 && drill.checkMs > 0,
      )
      assert.match(random.target, /^up to .*, then promote$/)
      assert.ok((random.lastCommitAt ?? '') <= (drill.lastCommitAt ?? ''), String(random.lastCommitAt))
      assert.equal(failed.outcome, 'failed')
      const findings = failed.checks.find(({ name }) => name === 'assertions')?.findings ?? []
      assert.deepEqual(
        findings.map((finding) => finding.replace(/^.*?: /s, '')),
        [
          'expected one value that is true, it gave f',
          'expected one value that is true, it gave 5000 values',
          'division by zero',
        ],
      )
      assert.deepEqual(await readdir(join(site.folder, 'sandboxes')), [])
    })
  })
}

describe('drill', () => {
  test('fails for pages that were damaged when they were backed up, and check says so', async () => {
    await using scratch = await createScratch('damage')
    await using site = await startUserSite({ major: 17, scratch })
    const { server } = site
    await server.query(
      'create table broken as select g as i, md5(g::text) as t from generate_series(1, 3000) g',
    )
    await server.query('create table whole as select 1 as i')
    await server.query('checkpoint')
    const [row] = await server.query<{ path: string }>("select pg_relation_filepath('broken') as path")
    {
      await using file = await open(join(server.dataDirectory, row?.path ?? ''), 'r+')
      await file.write(Buffer.from('damage'), 0, 6, 3 * 8192 + 4000)
    }
    await site.run('backup')
    await site.switchWal()

    const drill = await answered(site, 4)
    const checked = JSON.parse((await site.run('--output', 'json', 'check')).stdout) as CheckDocument

    assert.equal(drill.outcome, 'failed')
    const wrong = drill.checks.filter(({ state }) => state === 'failed')
    assert.deepEqual(
      wrong.map(({ name }) => name),
      ['pages', 'tables', 'rows'],
    )
    assert.deepEqual(wrong[0]?.findings, [`${row?.path}, block 3: its checksum is wrong`])
    const item = checked.items.find(({ name }) => name.startsWith('drill')) ?? assert.fail()
    assert.equal(item.state, 'failed')
    assert.match(item.message, /^failed less than a day ago: pages: 1 of \d+ pages have a wrong checksum$/)
  })

  test('fails for an index that does not fit its table', async () => {
    await using scratch = await createScratch('misfit')
    await using site = await startUserSite({ major: 17, scratch })
    const { server } = site
    await server.query('create table said as select generate_series(1, 1000) as i')
    const same = 'create or replace function same(i int) returns int language sql immutable as'
    await server.query(`${same} 'select i'`)
    await server.query('create index said_same on said (same(i))')
    await server.query(`${same} 'select i + 7'`)
    await site.backup()
    await site.switchWal()

    const { outcome, checks } = await answered(site, 4)

    assert.equal(outcome, 'failed')
    const wrong = checks.filter(({ state }) => state === 'failed')
    assert.deepEqual(
      wrong.map(({ name }) => name),
      ['indexes'],
    )
    assert.match(
      wrong[0]?.findings.join() ?? '',
      /postgres, public\.said_same: heap tuple .* lacks matching index tuple/,
    )
  })

  test('proves nothing with a cluster that is empty, and fails with WAL that is not there', async () => {
    await using scratch = await createScratch('empty')
    await using site = await startUserSite({ major: 18, scratch })
    await site.backup()
    await site.switchWal()

    const empty = await answered(site, 1)
    const beyond = await site.run('drill', ...placeOf(site), '--target-lsn', 'F/0')
    const afterwards = (await site.answer('info')) as unknown as Drilled
    const unreadable = await site.run('drill', '--sql', join(site.folder, 'nothing.sql'))
    const both = await site.run('drill', '--random', '--target-immediate')
    for (const file of await readdir(site.repository, { recursive: true }))
      if (file.includes('/wal/00000001/00000000/')) await rm(join(site.repository, file))
    const walless = await answered(site, 4)

    assert.equal(empty.outcome, 'not-proven')
    assert.deepEqual(
      empty.checks.filter(({ state }) => state !== 'passed').map(({ name, message }) => ({ name, message })),
      [{ name: 'rows', message: 'there are no tables of yours, read row by row' }],
    )
    assert.equal(beyond.code, 3, beyond.stderr)
    assert.equal(afterwards.repos[0]?.drill.outcome, 'not-proven')
    assert.equal(walless.outcome, 'failed')
    assert.deepEqual(
      walless.checks.map(({ name, state }) => [name, state]),
      [['recovery', 'failed']],
    )
    assert.equal(both.code, 2, both.stderr)
    assert.equal(unreadable.code, 1)
    const { repos } = (await site.answer('info')) as unknown as Drilled
    assert.equal(repos[0]?.drill.outcome, 'failed')
  })

  test('holds tables against what they had in the backup, and the WAL against that', async () => {
    await using scratch = await createScratch('losses')
    await using site = await startUserSite({ major: 17, scratch, settings: { autovacuum: 'off' } })
    const { server } = site
    const names = ['emptied', 'cut', 'truncated', 'dropped', 'rewritten', 'kept', 'small', 'undone']
    for (const name of names)
      await server.query(`create table ${name} as select generate_series(1, 3000) as i`)
    await server.query('delete from small where i > 100')
    await server.query('vacuum analyze')
    await server.query('delete from small') // too few for anybody to count again
    await site.backup()
    await server.query('delete from emptied')
    await server.query('delete from cut')
    await server.query('vacuum cut')
    await server.query('truncate truncated')
    await server.query('drop table dropped')
    await server.query('delete from rewritten')
    await server.query('vacuum full rewritten')
    await site.switchWal()

    const drill = await answered(site, 0)

    const losses = drill.checks.find(({ name }) => name === 'losses')
    assert.deepEqual(losses, {
      name: 'losses',
      state: 'passed',
      message: '6,000 rows in 7 tables; about 12,100 when they were last counted before the backup',
      findings: ['postgres, public.small: had about 100 rows, has none'],
    })
  })

  test('does not pass when a table had rows once and nothing says where they went', async () => {
    await using scratch = await createScratch('vanished')
    await using site = await startUserSite({ major: 18, scratch, settings: { autovacuum: 'off' } })
    const { server } = site
    await server.query('create table vanished as select generate_series(1, 3000) as i')
    await server.query('vacuum analyze')
    await server.query('delete from vanished')
    await site.backup()
    await site.switchWal()

    const { outcome, checks } = await answered(site, 1)

    assert.equal(outcome, 'not-proven')
    assert.deepEqual(
      checks.filter(({ state }) => state !== 'passed'),
      [
        {
          name: 'rows',
          state: 'not-proven',
          message: '1 tables of yours, read row by row: there is no row in them',
          findings: [],
        },
        {
          name: 'losses',
          state: 'not-proven',
          message: '1 relations have nothing left, and the WAL does not say why',
          findings: ['postgres, public.vanished: had about 3,000 rows, has none'],
        },
      ],
    )
  })

  test('fails, and is remembered, when WAL goes that the moment was planned with', async () => {
    await using scratch = await createScratch('gone')
    await using site = await startUserSite({ major: 18, scratch })
    await site.backup()
    const { server } = site
    await server.query('create table said as select 1 as i')
    await site.switchWal()
    const [middle] = await server.query<{ name: string }>(
      'select pg_walfile_name(pg_current_wal_lsn()) as name',
    )
    for (let segment = 0; segment < 3; segment += 1) {
      await server.query('insert into said values (1)')
      await site.switchWal()
    }
    const [end] = await server.query<{ lsn: string }>("select pg_create_restore_point('late')::text as lsn")
    await server.query('insert into said values (2)')
    await site.switchWal()

    const drill = startHoldfast(
      ['--output', 'json', 'drill', ...placeOf(site), '--target-lsn', end?.lsn ?? '', '--target-exclusive'],
      { config: site.configuration },
    )
    // The directory is made when the plan stands; the WAL is wanted when all files are there.
    const sandboxes = join(site.folder, 'sandboxes')
    await waitUntil('the plan', async () =>
      (await readdir(sandboxes)).some((name) => existsSync(join(sandboxes, name, 'data'))),
    )
    drill.kill('SIGSTOP')
    await removeSegment(site, middle?.name ?? '')
    drill.kill('SIGCONT')
    const { code, stdout, stderr } = await drill.ended

    assert.equal(code, 4, stderr)
    const { outcome, checks } = JSON.parse(stdout) as DrillDocument
    assert.equal(outcome, 'failed')
    assert.deepEqual(
      checks.map(({ name, state }) => [name, state]),
      [['recovery', 'failed']],
    )
    assert.match(checks[0]?.message ?? '', /recovery ended before configured recovery target was reached/)
    const { repos } = (await site.answer('info')) as unknown as Drilled
    assert.equal(repos[0]?.drill.outcome, 'failed')
    const checked = JSON.parse((await site.run('--output', 'json', 'check')).stdout) as CheckDocument
    assert.equal(checked.items.find(({ name }) => name.startsWith('drill'))?.state, 'failed')
  })
})

/** As if it was lost: with everything that is stored under its name. */
async function removeSegment(site: UserSite, name: string): Promise<void> {
  const files = await readdir(site.repository, { recursive: true })
  const stored = files.filter((file) => file.includes('/wal/') && file.includes(name))
  assert.ok(stored.length > 0, `${name} is not stored`)
  for (const file of stored) await rm(join(site.repository, file))
}

interface Drilled {
  readonly repos: readonly { readonly drill: DrillDocument }[]
}

const placeOf = ({ folder }: UserSite): readonly string[] => [
  '--sandbox-directory',
  join(folder, 'sandboxes'),
]

/** What the drill says; it must exit with this code. */
async function answered(site: UserSite, code: number, ...options: readonly string[]): Promise<DrillDocument> {
  const result = await site.run('--output', 'json', 'drill', ...placeOf(site), ...options)
  assert.equal(result.code, code, result.stderr + result.stdout)
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what it says is what the test looks at
  return JSON.parse(result.stdout) as DrillDocument
}
