import assert from 'node:assert/strict'
import { readdir, rename, utimes } from 'node:fs/promises'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { createArchiveStage, segmentName, type ArchiveStage } from './support/archive-stage.ts'
import { expectOk } from './support/holdfast.ts'
import { createScratch } from './support/scratch.ts'

const repositories = ['first', 'second', 'third']

describe('archive-push, when not all repositories must hold a segment (N15),', () => {
  test('goes on without one of three, leaves it alone for a minute, and comes back to it', async () => {
    await using scratch = await createScratch('policy')
    const stage = await createArchiveStage(scratch, { repositories })
    await stage.configure(repositories, ['archive:', '  policy: quorum'])
    await rename(stage.repository('first'), stage.repository('lost'))

    const { stderr } = await push(stage, 3)
    assert.match(stderr, /^warning: archiving without one of the repositories: .*first.*\nhint: .*repo copy/m)
    assert.deepEqual(await behind(stage), ['.behind-first'])
    assert.deepEqual(await holders(stage, 3), ['second', 'third'])

    await rename(stage.repository('lost'), stage.repository('first'))
    assert.equal((await push(stage, 4)).stderr, '')
    assert.deepEqual(await holders(stage, 4), ['second', 'third'])

    const longAgo = Date.now() / 1000 - 61
    await utimes(join(notes(stage), '.behind-first'), longAgo, longAgo)
    assert.equal((await push(stage, 5)).stderr, '')
    assert.deepEqual(await holders(stage, 5), repositories)
    assert.deepEqual(await behind(stage), [])
  })

  test('fails without a quorum, and tries at once again those that it has left alone', async () => {
    await using scratch = await createScratch('policy')
    const stage = await createArchiveStage(scratch, { repositories })
    await stage.configure(repositories, ['archive:', '  policy: quorum'])
    await rename(stage.repository('first'), stage.repository('lost-first'))
    await push(stage, 3)
    await rename(stage.repository('second'), stage.repository('lost-second'))

    const { code, stderr } = await stage.run(['archive-push', `pg_wal/${segmentName(4)}`])
    assert.equal(code, 1)
    assert.match(stderr, /^error: .*\nhint: /m)
    assert.deepEqual(await holders(stage, 4), ['third'])

    await rename(stage.repository('lost-first'), stage.repository('first'))
    await push(stage, 4)
    assert.deepEqual(await holders(stage, 4), ['first', 'third'])
  })

  test('is not kept waiting by one that takes connections and never answers', async () => {
    await using scratch = await createScratch('policy')
    const stage = await createArchiveStage(scratch, { repositories: ['first'] })
    const silent = createServer()
    silent.listen(0, '127.0.0.1')
    await once(silent, 'listening')
    const address = silent.address()
    assert.ok(address !== null && typeof address === 'object')
    const s3 = `{ endpoint: "http://127.0.0.1:${address.port}", region: eu, access-key-id: key, secret-key-file: ${stage.folder}/key }`
    const second = ['  far:', '    location: s3:bucket', `    key-file: ${stage.folder}/key`, `    s3: ${s3}`]
    await stage.configure(['first'], [...second, 'archive:', '  policy: one'])

    const began = performance.now()
    await push(stage, 3)
    await push(stage, 4)

    silent.close()
    assert.deepEqual(await behind(stage), ['.behind-far'])
    // The call itself would be tried for half a minute.
    assert.ok(performance.now() - began < 15_000)
  })
})

const push = async (stage: ArchiveStage, number: number): ReturnType<ArchiveStage['run']> =>
  expectOk(await stage.run(['archive-push', '--ahead', `pg_wal/${segmentName(number)}`]))

const notes = (stage: ArchiveStage): string => join(stage.dataDirectory, 'pg_wal', 'holdfast-ack')

const behind = async (stage: ArchiveStage): Promise<readonly string[]> =>
  (await readdir(notes(stage))).filter((name) => name.startsWith('.behind-'))

async function holders(stage: ArchiveStage, number: number): Promise<readonly string[]> {
  const holding: string[] = []
  for (const name of repositories) {
    const entries = await readdir(stage.repository(name), { recursive: true }).catch(() => [])
    if (entries.some((entry) => entry.includes(`/${segmentName(number)}-`))) holding.push(name)
  }
  return holding
}
