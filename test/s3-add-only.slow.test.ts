import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { archiveEverything } from './support/archive-everything.ts'
import { startConditionalGateway } from './support/conditional-gateway.ts'
import { expectOk } from './support/holdfast.ts'
import { openServer, startServer } from './support/postgres-server.ts'
import { makeAddOnlyUser, makeBucket } from './support/s3-buckets.ts'
import { startS3Server, type S3Server } from './support/s3-server.ts'
import { makeSite } from './support/s3-site.ts'
import { createScratch, type Scratch } from './support/scratch.ts'

const bucket = 'locked'
const sweepNow = ['repo', 'sweep', '--grace=1ms', '--confirm=main'] as const

describe('a host that may only add to a bucket with object lock', () => {
  let scratch: Scratch
  let store: S3Server
  let endpoint: string
  const owned = new AsyncDisposableStack()
  before(async () => {
    scratch = owned.use(await createScratch('s3-add-only'))
    store = await startS3Server(scratch)
    await makeBucket(store, bucket, 'locked')
    endpoint = owned.use(await startConditionalGateway(store)).endpoint
  })
  after(async () => owned.disposeAsync())

  test('lives a whole life without a warning; a sweep says what stays, and why (N13)', async () => {
    await using server = await startServer({ major: 18, scratch })
    const keys = await makeAddOnlyUser(store, 'adder', bucket)
    const adder = { scratch, server, bucket: { endpoint, bucket, ...keys } }
    const site = await makeSite(adder, keys.secretAccessKey)
    const made = expectOk(await site.init('--apply', '--s3=retention-days=3'))
    assert.match(made.stderr, /the keys may add and not delete/)
    await server.restart()
    await server.query('CREATE TABLE t AS SELECT generate_series(1, 1000) AS x')

    expectOk(await site.run('backup'))
    await archiveEverything(server)
    const second = expectOk(await site.run('backup', '--type=full'))
    assert.doesNotMatch(second.stderr, /warning/)
    const checked = expectOk(await site.run('check'))
    assert.match(checked.stdout, /protection of repo local.*new objects are locked for 3 days \(governance\)/)
    assert.match(checked.stdout, /copies.*1 off site, 1 locked/)
    expectOk(await site.run('verify', '--all'))
    const dataDirectory = join(site.folder, 'restored')
    expectOk(await site.run('restore', '--target-immediate', `--target-dir=${dataDirectory}`))
    await using restored = await openServer({ dataDirectory, major: 18, scratch })
    assert.deepEqual(await restored.query('SELECT count(*)::int AS count FROM t'), [{ count: 1000 }])
    expectOk(await site.run('expire', '--confirm=main'))
    const refused = expectOk(await site.run(...sweepNow))
    assert.match(refused.stdout, /not deleted, because the store does not allow it: .* in \d+ objects/)

    const owner = { scratch, server, bucket: { endpoint, bucket, accessKeyId: store.accessKeyId } }
    const other = await makeSite(owner, store.secretAccessKey)
    await other.adopt(site)
    const [kept, ...others] = keptOf(await other.answer(...sweepNow))
    assert.deepEqual([kept?.reason, others.length], ['version', 0])
    assert.ok((kept?.count ?? 0) > 0)
    assert.match(kept?.retainedUntil ?? '', /^\d{4}-\d\d-\d\dT/)
  })
})

interface Kept {
  readonly reason: string
  readonly count: number
  readonly retainedUntil: string | null
}

/** Nothing was deleted so that its space is free. */
function keptOf(answer: unknown): readonly Kept[] {
  const { repos } = answer as { repos: { deleted: Record<string, { count: number }>; kept: Kept[] }[] }
  for (const { deleted } of repos) for (const { count } of Object.values(deleted)) assert.equal(count, 0)
  return repos.flatMap(({ kept }) => kept)
}
