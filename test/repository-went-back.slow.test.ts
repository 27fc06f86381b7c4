import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { chmod, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { promisify } from 'node:util'
import type { CheckDocument } from '../src/api/check-document.ts'
import type { InfoDocument } from '../src/api/info-document.ts'
import { expectOk, type HoldfastResult } from './support/holdfast.ts'
import { createScratch } from './support/scratch.ts'
import { startUserSite, type UserSite } from './support/user-site.ts'

const run = promisify(execFile)

/** Puts the copy of the repository's folder in its place. */
async function putBack(site: UserSite, copy: string): Promise<void> {
  await rm(site.repository, { recursive: true })
  await rename(copy, site.repository)
}

function expectCode(result: HoldfastResult, code: number, message: RegExp): void {
  assert.equal(result.code, code, `${result.stdout}\n${result.stderr}`)
  assert.match(result.stderr, message)
}

describe("yesterday's copy of a repository", () => {
  test('is refused, can be looked at and restored from, and works once it is accepted (RULES 4.3)', async () => {
    await using scratch = await createScratch('went-back')
    await using site = await startUserSite({ major: 17, scratch })
    const first = await site.backup()
    await site.switchWal()
    const copy = join(site.folder, 'yesterday')
    await run('cp', ['-a', site.repository, copy])
    const second = await site.backup()
    await putBack(site, copy)
    const target = `--target-dir=${join(site.folder, 'restored')}`

    const info = await site.run('info')
    expectCode(info, 5, /^/)
    assert.match(info.stdout, new RegExp(`went back from entry #2 to #1; no longer listed: ${second}`))
    assert.ok(info.stdout.includes(first))
    const { stdout } = await site.run('info', '--output=json')
    assert.deepEqual((JSON.parse(stdout) as InfoDocument).repos[0]?.freshness.lostBackups, [second])
    expectCode(await site.run('backup'), 5, /went back from entry #2 to #1[^]*hint: .*holdfast repo accept/)
    expectCode(await site.run('backup', '--dry-run'), 5, /went back/)
    expectCode(await site.run('restore', target), 5, /went back[^]*--accept-older-repository/)
    const checked = await site.run('check', '--output=json')
    const { items } = JSON.parse(checked.stdout) as CheckDocument
    assert.equal(items.find(({ name }) => name === 'catalogue of repo local')?.state, 'failed')

    expectOk(
      await site.run(
        'restore',
        target,
        `--backup=${first}`,
        '--target-immediate',
        '--accept-older-repository',
      ),
    )
    expectCode(await site.run('repo', 'accept'), 5, /expected the name "local"/)
    assert.match(
      expectOk(await site.run('repo', 'accept', '--dry-run')).stdout,
      new RegExp(`no longer listed: ${second}\nwould accept repo local at entry #1`),
    )
    expectOk(await site.run('repo', 'accept', '--confirm=local'))
    expectOk(await site.run('info'))
    await site.backup()
    assert.match(expectOk(await site.run('repo', 'accept')).stdout, /nothing to accept/)
  })

  test('is not noticed, and that is said, on a host that has seen nothing; archiving does not ask', async () => {
    await using scratch = await createScratch('went-back')
    await using site = await startUserSite({ major: 17, scratch })
    await site.backup()
    const state = join(site.folder, 'state')
    await rm(state, { recursive: true })

    assert.match(expectOk(await site.run('info')).stdout, /cannot prove that it is not an older copy/)
    assert.doesNotMatch(expectOk(await site.run('info')).stdout, /cannot prove/)
    const copy = join(site.folder, 'yesterday')
    await run('cp', ['-a', site.repository, copy])
    await site.backup()
    await putBack(site, copy)
    await site.switchWal()
    expectCode(await site.run('backup'), 5, /went back/)
  })

  test('is not noticed, and that is said, on a host that cannot remember', async () => {
    await using scratch = await createScratch('went-back')
    await using site = await startUserSite({ major: 17, scratch })
    await rm(join(site.folder, 'state'), { recursive: true, force: true })
    await chmod(site.folder, 0o500)

    const backup = expectOk(await site.run('backup'))
    assert.match(backup.stderr, /this host cannot remember what it sees/)
    assert.match(expectOk(await site.run('info')).stdout, /this host cannot remember what it sees/)
    const checked = expectOk(await site.run('check', '--output=json'))
    const { items } = JSON.parse(checked.stdout) as CheckDocument
    assert.equal(items.find(({ name }) => name === 'catalogue of repo local')?.state, 'warning')
    await chmod(site.folder, 0o700)
  })
})
