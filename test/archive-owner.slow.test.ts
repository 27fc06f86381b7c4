import assert from 'node:assert/strict'
import { chown, lstat, readdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { createArchiveStage, segmentName } from './support/archive-stage.ts'
import { expectOk } from './support/holdfast.ts'
import { createScratch } from './support/scratch.ts'
import { isRoot } from './support/server-user.ts'

const skip = isRoot() ? false : 'only root can become the owner'
const root = { name: 'root', uid: 0, gid: 0 }

describe('archive-push and archive-get as root', () => {
  for (const [where, cwd] of [
    ['in the data directory', undefined],
    ['elsewhere', tmpdir()],
  ] as const) {
    test(`leave nothing that the server's user cannot go on with, run ${where}`, { skip }, async () => {
      await using scratch = await createScratch('owner')
      const stage = await createArchiveStage(scratch)
      const options = { asUser: root, ...(cwd !== undefined && { cwd }) }
      const path = (name: string): string =>
        join(cwd === undefined ? '' : stage.dataDirectory, 'pg_wal', name)

      expectOk(await stage.run(['archive-push', '--ahead', path(segmentName(3))], options))
      expectOk(await stage.run(['archive-get', segmentName(3), path('RECOVERYXLOG')], options))

      assert.deepEqual(await foreignFiles(stage.folder, scratch.user.uid), [])
      expectOk(await stage.run(['archive-push', path(segmentName(4))]))
    })
  }

  test('refuse to go on as root where nothing says who owns the server', { skip }, async () => {
    await using scratch = await createScratch('owner')
    const stage = await createArchiveStage(scratch)
    await chown(stage.dataDirectory, 0, 0)

    const push = await stage.run(['archive-push', `pg_wal/${segmentName(3)}`], { asUser: root })
    const get = await stage.run(['archive-get', segmentName(3), 'pg_wal/RECOVERYXLOG'], { asUser: root })

    for (const { stderr } of [push, get]) assert.match(stderr, /^error: started as root.*\nhint: .*run-as/)
    assert.deepEqual([push.code, get.code], [2, 126])
    assert.deepEqual(await foreignFiles(stage.repository(), scratch.user.uid), [])
  })
})

async function foreignFiles(folder: string, uid: number): Promise<readonly string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const foreign: string[] = []
  for (const { parentPath, name } of entries) {
    const path = join(parentPath, name)
    if ((await lstat(path)).uid !== uid) foreign.push(path)
  }
  return foreign
}
