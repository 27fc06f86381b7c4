import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import type { DeleteDumpDocument, DumpDetailsDocument, PinDumpDocument } from '../src/api/dump-document.ts'
import type { InfoDocument } from '../src/api/info-document.ts'
import { createPosixStore } from '../src/storage/posix/posix-store.ts'
import { createPlace } from './support/archive-fixture.ts'
import { runHoldfast, type HoldfastResult } from './support/holdfast.ts'
import { giveTree } from './support/give-tree.ts'
import { createScratch } from './support/scratch.ts'
import { testContext } from './support/repository.ts'
import { storeDump } from './support/stored-dump.ts'

interface Site extends AsyncDisposable {
  readonly run: (...args: readonly string[]) => Promise<HoldfastResult>
  /** Runs with JSON output and expects success. */
  readonly ask: <Document>(...args: readonly string[]) => Promise<Document>
}

const [older, newer] = ['20260219-130000L', '20260220-130000L'] as const

/** A repository with two dumps, of a cluster whose server is not there. */
async function createSite(): Promise<Site> {
  const scratch = await createScratch('dumps')
  const { folder } = scratch
  const root = join(folder, 'repo')
  await using store = await createPosixStore(root, { access: 'write' }, testContext())
  const place = await createPlace({ store, isSealed: false })
  for (const label of [older, newer]) await storeDump(place, { label }, testContext())
  const config = join(folder, 'holdfast.yaml')
  const settings = `clusters:\n  main:\n    connection: host=127.0.0.1 port=1 user=postgres\nrepos:\n  local:\n    location: posix:${root}\n    encryption: none\n`
  await writeFile(config, settings)
  await giveTree(folder, scratch.user)
  const run: Site['run'] = (...args) => runHoldfast(args, { config, asUser: scratch.user })
  const ask = async <Document>(...args: readonly string[]): Promise<Document> => {
    const { code, stdout, stderr } = await run(...args, '--output', 'json')
    assert.equal(code, 0, stderr)
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the document is what the test reads
    return JSON.parse(stdout) as Document
  }
  return { run, ask, [Symbol.asyncDispose]: () => scratch[Symbol.asyncDispose]() }
}

describe('a listed dump', () => {
  test('is shown, pinned, and deleted by its label', async () => {
    await using site = await createSite()
    const labels = async (): Promise<readonly string[]> => {
      const { repos } = await site.ask<InfoDocument>('info')
      return repos.flatMap(({ dumps }) => dumps.map(({ label, isPinned }) => `${label} ${isPinned}`))
    }
    assert.deepEqual(await labels(), [`${older} false`, `${newer} false`])
    const { stdout: text } = await site.run('info')
    assert.match(text, /^dumps\nlabel .*\n20260219-130000L .* app +plain, custom .* ok\n20260220-130000L /m)

    const { dump, repos } = await site.ask<PinDumpDocument>('pin', older)
    assert.deepEqual([dump.isPinned, repos], [true, [{ name: 'local', changed: true }]])
    const refused = await site.run('delete', older, '--confirm', 'main')
    assert.equal(refused.code, 5)
    assert.match(refused.stderr, /deleting dump 20260219-130000L .*: it is pinned/)
    assert.match(
      (await site.run('unpin', older)).stdout,
      /^dump 20260219-130000L is not pinned in repo local$/m,
    )

    const planned = await site.ask<DeleteDumpDocument>('delete', older, '--dry-run')
    assert.deepEqual([planned.dryRun, planned.dump.label], [true, older])
    assert.equal((await site.run('delete', older)).code, 5)
    assert.match(
      (await site.run('delete', older, '--confirm', 'main')).stdout,
      /^deleted dump 20260219-130000L /m,
    )
    assert.deepEqual(await labels(), [`${newer} false`])
    assert.equal((await site.run('info', older)).code, 6)
    const { stdout: swept } = await site.run('repo', 'sweep', '--grace=0s', '--confirm=main')
    assert.match(swept, /^objects of dumps +3 /m)
  })

  test('tells its members and facts', async () => {
    await using site = await createSite()
    const { members, facts } = await site.ask<DumpDetailsDocument>('info', newer)
    const { stdout: text } = await site.run('info', newer)

    assert.deepEqual(
      members.map(({ name, kind, database, format, rawBytes }) => [name, kind, database, format, rawBytes]),
      [
        ['globals', 'globals', null, 'plain', 17],
        ['app', 'database', 'app', 'custom', 15],
      ],
    )
    assert.deepEqual(facts, { 'server-version': '18.1' })
    assert.match(text, /^server-version +18\.1\n/m)
    assert.match(text, /^app +database +app +custom +15 B /m)
  })
})
