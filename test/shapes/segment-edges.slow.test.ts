import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { chown, open, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { archiveEverything } from '../support/archive-everything.ts'
import { expectOk } from '../support/holdfast.ts'
import type { TestServer } from '../support/postgres-server.ts'
import { createScratch } from '../support/scratch.ts'
import { startUserSite } from '../support/user-site.ts'

const blockBytes = 8192
const chunkBytes = 4 * 1024 * 1024
/** What PostgreSQL puts into one file of a relation: RELSEG_SIZE blocks, in every build that is in use. */
const segmentBytes = 2 ** 30

/** Tables by the size of all their files when the backup begins. Their last three pages hold a row each, the others nothing. */
const tables = [
  { name: 'below', bytes: segmentBytes - blockBytes },
  { name: 'exact', bytes: segmentBytes },
  { name: 'above', bytes: segmentBytes + blockBytes },
  { name: 'emptied', bytes: segmentBytes },
  { name: 'crossing', bytes: segmentBytes - blockBytes },
] as const

describe('a backup of relations at the edge of their files of 1 GB', () => {
  test('restores them block by block, and what crosses the edge meanwhile (S10, R8)', async () => {
    await using scratch = await createScratch('edges')
    await using site = await startUserSite({ major: 17, scratch, settings: { autovacuum: 'off' } })
    const { server } = site
    const paths = await makeTables(server)
    await emptySecondFile(server, paths)
    await server.query('checkpoint')
    assert.deepEqual(await sizesOf(server, paths, 'above'), [segmentBytes, blockBytes])
    assert.deepEqual(await sizesOf(server, paths, 'emptied'), [segmentBytes, 0])

    const running = site.backup('--max-rate', '2GB')
    await addRows(server, { name: 'crossing', count: 50 })
    const label = await running
    await addRows(server, { name: 'crossing', count: 1 })

    await archiveEverything(server)
    await server.stop()
    const restored = join(site.folder, 'restored')
    expectOk(await site.run('restore', '--backup', label, '--target-dir', restored))
    for (const { name } of tables) {
      const [source, copy] = [server.dataDirectory, restored].map((folder) => join(folder, paths[name] ?? ''))
      await expectSameBlocks(`${source}`, `${copy}`)
      await expectSameBlocks(`${source}.1`, `${copy}.1`)
    }
    assert.equal(await sizeOf(join(restored, `${paths['crossing']}.1`)), 50 * blockBytes)
    await using recovered = await site.open(restored)
    const counts = await recovered.query(
      tables.map(({ name }) => `select '${name}' as name, count(*)::int from ${name}`).join(' union all ') +
        ' order by 1',
    )
    const expected = tables
      .map(({ name }) => ({ name, count: name === 'crossing' ? 3 + 51 : 3 }))
      .toSorted((one, other) => (one.name < other.name ? -1 : 1))
    assert.deepEqual(counts, expected)
  })
})

type Paths = Readonly<Record<string, string>>

/** A file that was extended and never written, as a crash may leave one, is cheap: PostgreSQL takes its zeros for new pages. */
async function makeTables(server: TestServer): Promise<Paths> {
  const paths: Record<string, string> = {}
  for (const { name } of tables) {
    await using session = await server.session()
    await session.query(
      `create table ${name} (filling text); alter table ${name} alter filling set storage plain`,
    )
    const { rows } = await session.query<{ path: string }>('select pg_relation_filepath($1) as path', [name])
    paths[name] = rows[0]?.path ?? assert.fail()
  }
  await server.stop()
  for (const { name, bytes } of tables)
    await truncate(join(server.dataDirectory, paths[name] ?? ''), bytes - 2 * blockBytes)
  await server.start()
  // The first row goes into the last page that is there.
  for (const { name } of tables) await addRows(server, { name, count: 3 })
  return paths
}

/** A row takes a page of its own. */
async function addRows(
  server: TestServer,
  { name, count }: { readonly name: string; readonly count: number },
): Promise<void> {
  await using session = await server.session()
  for (let row = 0; row < count; row += 1)
    await session.query(`insert into ${name} values (repeat(md5(random()::text), 250))`)
}

/** The vacuum gives the pages of the second file back, and PostgreSQL leaves the file there, empty. */
async function emptySecondFile(server: TestServer, paths: Paths): Promise<void> {
  await server.stop()
  const first = join(server.dataDirectory, paths['emptied'] ?? '')
  const second = `${first}.1`
  await writeFile(second, '', { mode: 0o600 })
  const { uid, gid } = await stat(first)
  await chown(second, uid, gid)
  await truncate(second, 2000 * blockBytes)
  await server.start()
  await server.query('vacuum emptied')
}

const sizesOf = ({ dataDirectory }: TestServer, paths: Paths, name: string): Promise<readonly number[]> =>
  Promise.all(['', '.1'].map((suffix) => sizeOf(join(dataDirectory, `${paths[name]}${suffix}`))))

const sizeOf = async (path: string): Promise<number> => (await stat(path)).size

/** Both are not there, or hold the same bytes. */
async function expectSameBlocks(path: string, other: string): Promise<void> {
  assert.equal(existsSync(other), existsSync(path), other)
  if (!existsSync(path)) return
  await using file = await open(path)
  await using copy = await open(other)
  const [wanted, found] = [Buffer.alloc(chunkBytes), Buffer.alloc(chunkBytes)]
  for (let position = 0; ; position += chunkBytes) {
    const [{ bytesRead }, { bytesRead: foundBytes }] = await Promise.all([
      file.read(wanted, 0, chunkBytes, position),
      copy.read(found, 0, chunkBytes, position),
    ])
    assert.equal(foundBytes, bytesRead, `the length of ${other}`)
    if (!wanted.subarray(0, bytesRead).equals(found.subarray(0, bytesRead)))
      assert.fail(`${other} differs from ${path} behind byte ${position}`)
    if (bytesRead === 0) return
  }
}
