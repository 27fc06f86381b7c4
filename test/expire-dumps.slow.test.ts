import assert from 'node:assert/strict'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { after, before, beforeEach, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { DumpDocument } from '../src/api/dump-document.ts'
import type { ExpireDocument } from '../src/api/expire-document.ts'
import type { InfoDocument } from '../src/api/info-document.ts'
import { clientMajor, installClientPrograms } from './support/client-programs.ts'
import { expectOk, runHoldfast, type HoldfastResult } from './support/holdfast.ts'
import { createScratch, type Scratch } from './support/scratch.ts'
import { startUserSite, type UserSite } from './support/user-site.ts'

describe('expire, of dumps', () => {
  let scratch: Scratch
  let site: UserSite
  let programs: string
  before(async () => {
    scratch = await createScratch('expire-dumps')
    programs = await installClientPrograms(scratch.folder)
    site = await startUserSite({ major: clientMajor, scratch })
    for (const name of ['shop', 'crm']) {
      await site.server.query(`create database ${name}`)
      await using session = await site.server.session(name)
      await session.query('create table orders as select generate_series(1, 1000) as i')
    }
  })
  beforeEach(async () => {
    for (const { label, isPinned } of await listed()) {
      if (isPinned) await site.answer('unpin', label)
      await site.answer('delete', label, '--confirm', 'main')
    }
    await keep({})
  })
  after(async () => {
    await site[Symbol.asyncDispose]()
    await scratch[Symbol.asyncDispose]()
  })

  const run = (...args: readonly string[]): Promise<HoldfastResult> =>
    runHoldfast(args, { config: site.configuration, env: { PATH: `${programs}:/usr/bin:/bin` } })
  const dump = async (...args: readonly string[]): Promise<string> => {
    const { stdout } = expectOk(await run('--output', 'json', 'dump', ...args))
    return (JSON.parse(stdout) as DumpDocument).dump.label
  }
  const listed = async () => {
    const info = (await site.answer('info')) as unknown as InfoDocument
    return info.repos[0]?.dumps ?? []
  }
  const labels = async () => (await listed()).map(({ label }) => label)
  const expire = async (...options: readonly string[]) => {
    const document = (await site.answer('expire', ...options)) as unknown as ExpireDocument
    return document.repos[0]?.dumps ?? assert.fail()
  }
  /** In place of earlier rules. */
  const keep = async (dumps: Readonly<Record<string, number | string | boolean>>): Promise<void> => {
    const [text = ''] = (await readFile(site.configuration, 'utf8')).split('\nkeep: ')
    await writeFile(site.configuration, `${text}\nkeep: ${JSON.stringify({ dumps })}\n`)
  }
  const storedLabels = async (): Promise<readonly string[]> => {
    const paths = await readdir(site.repository, { recursive: true })
    return [...new Set(paths.flatMap((path) => /\/dump\/([^/]+L)$/.exec(path)?.[1] ?? []))].toSorted()
  }

  test('forgets what no rule keeps of what was dumped, and the sweep deletes it', async () => {
    const crm = await dump('--database', 'crm')
    const [first, pinned, second, third] = [
      await dump('--database', 'shop'),
      await dump('--database', 'shop'),
      await dump('--database', 'shop'),
      await dump('--database', 'shop', '--format', 'plain'),
    ]
    const part = await dump('--database', 'shop', '--table', 'orders')
    await site.answer('pin', pinned)
    const all = [crm, first, pinned, second, third, part]

    assert.match(expectOk(await run('expire')).stdout, /dumps: 6 kept, none expires\nno keep rule for dumps/)
    await keep({ count: 2, 'after-dump': false })
    const planned = await expire('--dry-run')
    assert.deepEqual(await labels(), all)
    assert.deepEqual(planned.remove, [{ label: first, reason: 'no rule keeps it' }])
    assert.deepEqual(planned.done, null)
    const text = expectOk(await run('expire', '--dry-run')).stdout
    assert.match(text, /dumps: 5 kept, 1 would be removed\n/)
    assert.match(text, new RegExp(`\n${first} .* shop +remove +no rule keeps it\n`))
    assert.match(text, new RegExp(`\n${pinned} .* shop +keep +pinned\n`))
    assert.match(text, new RegExp(`\n${crm} .* crm +keep +count 2; `))

    const done = await expire()

    assert.deepEqual([done.keep, done.done], [planned.keep, { removed: [first] }])
    assert.deepEqual(await labels(), [crm, pinned, second, third, part])
    await sleep(1500)
    await site.answer('repo', 'sweep', '--grace', '1s', '--confirm', 'main')
    assert.deepEqual(await storedLabels(), await labels())
    expectOk(await run('load', pinned, '--as', 'again', '--create'))
    assert.deepEqual((await expire()).done, { removed: [] })
  })

  test('happens after a dump, which is complete whatever becomes of that', async () => {
    const crm = await dump('--database', 'crm')
    const [first, second] = [await dump('--database', 'shop'), await dump('--database', 'shop')]
    await keep({ count: 2 })

    const third = await run('dump', '--database', 'shop')
    assert.equal(third.code, 0, third.stderr)
    assert.match(third.stderr, new RegExp(`dump ${first} has expired`))
    const left = await labels()
    assert.deepEqual([left.length, left.slice(0, 2)], [3, [crm, second]])

    await keep({ window: '1s' })
    await sleep(1500)
    const fourth = await run('dump', '--all')
    assert.equal(fourth.code, 0, fourth.stderr)
    assert.match(fourth.stderr, /the dump is complete, but nothing was expired.*half or more of 4 dumps/)
    const refused = await run('expire')
    assert.deepEqual([refused.code, (await labels()).length], [5, 4])
    assert.match(refused.stderr, /half or more of 4 dumps would go \(3\).*\n.*--confirm main/)
    assert.equal((await expire('--confirm', 'main')).done?.removed.length, 3)
    expectOk(await run('load', (await labels())[0] ?? '', '--database', 'shop', '--as', 'copy', '--create'))
  })
})
