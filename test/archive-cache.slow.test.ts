import assert from 'node:assert/strict'
import { chmod, mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { giveAll } from './support/archive-site.ts'
import { createArchiveStage, segmentName } from './support/archive-stage.ts'
import { expectOk } from './support/holdfast.ts'
import { createScratch } from './support/scratch.ts'
import { isRoot } from './support/server-user.ts'
import { mountTmpfs } from './support/small-disk.ts'

/** Not that of the run of all tests. */
const ownCache = { NODE_COMPILE_CACHE: '' }

const push = ['archive-push', `pg_wal/${segmentName(3)}`]

describe('what is kept to start faster', () => {
  test('is kept in the own home, and not where NODE_COMPILE_CACHE says', async () => {
    await using scratch = await createScratch('cache')
    const stage = await createArchiveStage(scratch)
    const home = join(stage.folder, 'home')
    const shared = join(stage.folder, 'shared')
    await mkdir(home, { mode: 0o700 })
    await mkdir(shared)
    await giveAll(stage.folder, scratch)
    await chmod(shared, 0o1777)

    expectOk(await stage.run(push, { env: { HOME: home, NODE_COMPILE_CACHE: shared } }))
    assert.deepEqual(configurations(await readdir(shared)), [])
    assert.deepEqual(await readdir(home), [])
    expectOk(await stage.run(push, { env: { HOME: home, ...ownCache } }))
    assert.equal(configurations(await readdir(join(home, '.cache', 'holdfast'))).length, 1)
  })

  const skip = isRoot() ? false : 'only root can mount file systems'
  for (const [what, options, fill] of [
    ['room', 'size=40m', false],
    ['files', 'size=200m,nr_inodes=5000', false],
    ['anything', 'size=256k', true],
  ] as const) {
    test(`is not kept in a home that has little ${what} left`, { skip }, async () => {
      await using scratch = await createScratch('cache')
      const stage = await createArchiveStage(scratch)
      const home = join(stage.folder, 'home')
      await mkdir(home)
      await using _ = await mountTmpfs(home, options)
      await giveAll(home, scratch)
      await chmod(home, 0o700)
      if (fill) await writeFile(join(home, 'x'), Buffer.alloc(512 * 1024)).catch(() => undefined)

      for (const run of [1, 2]) {
        expectOk(await stage.run(push, { env: { HOME: home, RUN: String(run), ...ownCache } }))
      }

      assert.deepEqual(
        (await readdir(home)).filter((name) => name !== 'x'),
        [],
      )
    })
  }
})

const configurations = (names: readonly string[]): readonly string[] =>
  names.filter((name) => name.startsWith('configuration-'))
