import assert from 'node:assert/strict'
import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { clientMajor, installClientPrograms } from './support/client-programs.ts'
import { expectOk, runHoldfast, type HoldfastResult } from './support/holdfast.ts'
import { createScratch } from './support/scratch.ts'
import { addSecondRepository } from './support/second-repository.ts'
import { mountTmpfs } from './support/small-disk.ts'
import { startUserSite } from './support/user-site.ts'

describe('a dump, when a disk is full (S1),', () => {
  test('is none and leaves nothing: in the repository, in a file, in a database', async () => {
    await using scratch = await createScratch('dump-full')
    const programs = await installClientPrograms(scratch.folder)
    await using site = await startUserSite({ major: clientMajor, scratch })
    const { uid, gid } = scratch.user
    const own = `uid=${uid},gid=${gid},mode=0700`
    const [second, small] = [join(site.folder, 'second'), join(site.folder, 'small')]
    for (const folder of [second, small]) await mkdir(folder)
    await using disks = new AsyncDisposableStack()
    disks.use(await mountTmpfs(second, `size=40m,${own}`))
    disks.use(await mountTmpfs(small, `size=8m,${own}`))
    await addSecondRepository(site, scratch)
    await site.server.query(
      'create table large as select i, sha512(i::text::bytea) as hash from generate_series(1, 400000) i',
    )
    await site.server.query('create table little as select 1 as one')
    const run = (...args: readonly string[]): Promise<HoldfastResult> =>
      runHoldfast(args, { config: site.configuration, env: { PATH: `${programs}:/usr/bin:/bin` } })
    const dump = (...args: readonly string[]): Promise<HoldfastResult> =>
      run('--output', 'json', 'dump', '--database', 'postgres', ...args)
    const stored = async (): Promise<readonly string[]> =>
      (await readdir(second, { recursive: true })).filter((name) =>
        /\/dump\/.*\/(?:head|part-\d+)$/.test(name),
      )

    const full = await dump('--repo', 'second')
    assert.equal(full.code, 1)
    assert.match(full.stderr, /no space|No space|full/)
    assert.deepEqual(await stored(), [])
    expectOk(await dump('--repo', 'second', '--table', 'little'))
    assert.ok((await stored()).length > 0)

    const whole = expectOk(await dump('--repo', 'local'))
    const {
      dump: { label },
    } = JSON.parse(whole.stdout) as { dump: { label: string } }
    for (const args of [
      ['--to-file', join(small, 'large.dump')],
      ['--as', 'nowhere', '--create', '--jobs', '2', '--sandbox-directory', small],
    ]) {
      const failed = await run('load', label, ...args)
      assert.equal(failed.code, 1, failed.stderr)
      assert.match(failed.stderr, /no space|No space|full|half of what was free/)
      assert.deepEqual(await readdir(small), [])
    }
    const [row] = await site.server.query("select 1 from pg_database where datname = 'nowhere'")
    assert.equal(row, undefined)
  })
})
