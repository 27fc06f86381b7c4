import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { rename } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { giveTree } from './support/give-tree.ts'
import { createScratch } from './support/scratch.ts'
import { startUserSite } from './support/user-site.ts'

describe('a restore beside a cluster that has got a tablespace since the backup', () => {
  test('is refused before recovery makes it where the living one is (R14)', async () => {
    await using scratch = await createScratch('later')
    await using site = await startUserSite({ major: 17, scratch })
    const { server } = site
    await site.backup()
    const space = await scratch.makeFolder('space')
    await server.query(`create tablespace late location '${space}'`)
    await server.query('create table t tablespace late as select generate_series(1, 1000) as id')
    await site.switchWal()

    const target = join(site.folder, 'restored')
    for (const options of [['--dry-run'], ['--files-only'], ['--target-immediate'], []]) {
      const refused = await site.run('restore', '--target-dir', target, ...options)
      assert.equal(refused.code, 5, refused.stderr)
      assert.ok(refused.stderr.includes(`in "${space}"`), refused.stderr)
      assert.ok(!existsSync(target))
    }

    await server.stop()
    await rename(space, `${space}.kept`)
    await scratch.makeFolder('space')
    await giveTree(space, scratch.user)
    await using restored = await site.restore('restored')
    assert.deepEqual(await restored.query('select count(*) from t'), [{ count: '1000' }])
  })
})
