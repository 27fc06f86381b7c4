import assert from 'node:assert/strict'
import { readdir, readFile, rename, writeFile } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { expectOk, runHoldfast } from './support/holdfast.ts'
import { addSecondRepository } from './support/second-repository.ts'
import { createScratch, type Scratch } from './support/scratch.ts'
import { isRoot } from './support/server-user.ts'
import { startUserSite, type UserSite } from './support/user-site.ts'

describe('restore with two repositories', () => {
  const opened = new AsyncDisposableStack()
  let scratch: Scratch
  let site: UserSite
  before(async () => {
    scratch = opened.use(await createScratch('repositories'))
    site = opened.use(await startUserSite({ major: 17, scratch, walSegmentSizeMb: 1 }))
    await addSecondRepository(site, scratch)
    await site.server.query('create table t (v int)')
    for (const repo of ['local', 'second']) await site.backup('--repo', repo, '--type=full')
    await site.server.query('insert into t values (1)')
    await site.switchWal()
  })
  after(() => opened.disposeAsync())

  test('takes the first, and recovers from it alone, while both are there (R39)', async () => {
    await using restored = await site.restore('both')

    assert.deepEqual(await restored.query('select v from t'), [{ v: 1 }])
  })

  test('recovers from the second when the first is lost, asked to or not (R39)', async () => {
    await using _ = await lost(site.repository)

    for (const [name, options] of [
      ['asked', ['--repo', 'second']],
      ['unasked', []],
    ] as const) {
      const dataDirectory = join(site.folder, name)
      const { stderr } = expectOk(await site.run('restore', '--target-dir', dataDirectory, ...options))
      assert.equal(/^warning: .*"local"/m.test(stderr), name === 'unasked', stderr)
      await using restored = await site.open(dataDirectory)
      assert.deepEqual(await restored.query('select v from t'), [{ v: 1 }])
    }
  })

  test('proves a file absent in the repository that is named, else in all of them (R39)', async () => {
    const path = join(site.folder, 'absent')
    const get = async (...options: readonly string[]): Promise<number | null> => {
      const args = [...options, 'archive-get', '0000000A.history', path]
      return (await runHoldfast(args, { config: site.configuration, asUser: scratch.user })).code
    }
    assert.deepEqual([await get(), await get('--repo', 'second')], [1, 1])
    await using _ = await lost(site.repository)

    assert.deepEqual(
      [await get(), await get('--repo', 'second'), await get('--repo', 'local'), await get('--repo', 'none')],
      [126, 1, 126, 126],
    )
  })

  test(
    'refuses, before it touches anything, a configuration that the recovering server cannot read',
    { skip: isRoot() ? false : 'only root may own a file that another user cannot read' },
    async () => {
      const config = join(scratch.folder, 'root-only.yaml')
      await writeFile(config, await readFile(site.configuration, 'utf8'), { mode: 0o600 })
      const target = join(site.folder, 'root-only')

      const result = await runHoldfast(['restore', '--target-dir', target], { config })

      assert.equal(result.code, 1)
      assert.match(result.stderr, /^error: .*root-only\.yaml".*\nhint: .*chown/m)
      assert.ok(!existsSync(target) || (await readdir(target)).length === 0)
    },
  )
})

/** Takes a folder away until it is disposed. */
async function lost(folder: string): Promise<AsyncDisposable> {
  await rename(folder, `${folder}-lost`)
  return { [Symbol.asyncDispose]: () => rename(`${folder}-lost`, folder) }
}
