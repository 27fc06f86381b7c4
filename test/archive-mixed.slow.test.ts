import assert from 'node:assert/strict'
import { appendFile, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import type { CheckDocument } from '../src/api/check-document.ts'
import { createScratch, type Scratch } from './support/scratch.ts'
import { addSecondRepository } from './support/second-repository.ts'
import { startUserSite, type UserSite } from './support/user-site.ts'

describe('a restore from two repositories', () => {
  test('takes WAL from both when either was down for a while, and a copying makes them whole (N15)', async () => {
    await using scratch = await createScratch('mixed')
    await using site = await prepare(scratch, 17)
    await appendFile(site.configuration, '\narchive:\n  policy: one\n')
    await site.backup('--type=full')
    for (const [row, repo] of ['local', 'second', 'local'].entries()) {
      const folder = join(site.folder, repo === 'local' ? 'repository' : 'second')
      await rename(folder, `${folder}-gone`)
      await site.server.query(`insert into t values (${row})`)
      await site.switchWal()
      await rename(`${folder}-gone`, folder)
      await tryAgain(site)
    }
    await site.server.query('insert into t values (3)')
    await site.switchWal()
    await writeFile(join(site.server.dataDirectory, 'pg_wal/holdfast-ack/.behind-second'), '')
    const { stdout } = await site.run('--output', 'json', 'check')
    const { items } = JSON.parse(stdout) as CheckDocument
    assert.ok(items.some(({ name, state }) => /WAL archive of repo/.test(name) && state === 'warning'))
    // Whoever checks wants to know how they are now.
    assert.ok(items.every(({ name, state }) => !name.startsWith('archiving to') || state === 'ok'))

    await using restored = await site.restore('mixed')
    assert.deepEqual(await rows(restored), [0, 1, 2, 3])

    await site.answer('repo', 'copy', '--from', 'second', '--to', 'local')
    await site.answer('repo', 'copy', '--from', 'local', '--to', 'second')
    for (const repo of ['local', 'second']) {
      await using healed = await site.restore(`from-${repo}`, '--repo', repo)
      assert.deepEqual(await rows(healed), [0, 1, 2, 3])
    }
  })

  test('takes a segment that is damaged or gone in one from the other, if it is the same (X3, X4)', async () => {
    await using scratch = await createScratch('mixed')
    await using site = await prepare(scratch, 14)
    await site.backup('--type=full')
    for (const row of [0, 1, 2]) {
      await site.server.query(`insert into t values (${row})`)
      await site.switchWal()
    }
    const segments = (await walOf(site)).slice(-3)
    const [damaged = '', gone = ''] = segments
    const bytes = await readFile(damaged)
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1
    await writeFile(damaged, bytes)
    await rm(gone)

    await using restored = await site.restore('both')
    assert.deepEqual(await rows(restored), [0, 1, 2])

    const alone = ['restore', '--target-dir', join(site.folder, 'alone'), '--repo', 'local']
    for (const proving of [alone, ['drill']]) assert.equal((await site.run(...proving)).code, 4)
  })
})

async function prepare(scratch: Scratch, major: 14 | 17): Promise<UserSite> {
  const site = await startUserSite({ major, scratch, walSegmentSizeMb: 1 })
  await addSecondRepository(site, scratch)
  await site.server.query('create table t (v int)')
  return site
}

/** As after a minute. */
async function tryAgain(site: UserSite): Promise<void> {
  const notes = join(site.server.dataDirectory, 'pg_wal', 'holdfast-ack')
  for (const name of await readdir(notes)) if (name.startsWith('.behind-')) await rm(join(notes, name))
}

async function rows(server: { query: UserSite['server']['query'] }): Promise<readonly number[]> {
  const found = await server.query<{ v: number }>('select v from t order by v')
  return found.map(({ v }) => v)
}

/** Segments in the first repository, in their order. */
async function walOf(site: UserSite): Promise<readonly string[]> {
  const entries = await readdir(site.repository, { recursive: true })
  return entries
    .filter((entry) => /\/0{7}1[0-9A-F]{16}-[0-9a-f]{32}\.00$/.test(entry))
    .toSorted()
    .map((entry) => join(site.repository, entry))
}
