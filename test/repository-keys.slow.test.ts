import assert from 'node:assert/strict'
import { access, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import type { RekeyDocument, RepoKeysDocument } from '../src/api/repository-document.ts'
import { runWithTap } from './faults/run-with-tap.ts'
import { expectOk, type HoldfastResult } from './support/holdfast.ts'
import { giveAll } from './support/archive-site.ts'
import { createScratch } from './support/scratch.ts'
import { startUserSite, type UserSite } from './support/user-site.ts'

async function keysOf(site: UserSite): Promise<RepoKeysDocument> {
  return (await site.answer('repo', 'keys')) as unknown as RepoKeysDocument
}

async function ownSlot(site: UserSite): Promise<string> {
  const { slots } = await keysOf(site)
  return slots.find(({ isOpened }) => isOpened)?.id ?? ''
}

// test/faults kills rekey at each of its calls (P10).

/** Writes another key file into the configuration, as the operator would. */
async function configure(site: UserSite, keyFile: string): Promise<void> {
  const text = await readFile(site.configuration, 'utf8')
  await writeFile(site.configuration, text.replace(/key-file: .*/, `key-file: ${keyFile}`))
}

function expectCode(result: HoldfastResult, code: number, message: RegExp): void {
  assert.equal(result.code, code, result.stderr)
  assert.match(result.stderr, message)
}

describe('repo keys', () => {
  test('adds a key that works alone, and removes the other one without an interruption (RULES 4.3)', async () => {
    await using scratch = await createScratch('keys')
    await using site = await startUserSite({ major: 17, scratch })
    const file = join(site.folder, 'second.key')
    const first = await ownSlot(site)

    const { stdout } = expectOk(await site.run('repo', 'keys', 'add', '--new-key-file', file))
    assert.match(stdout, /added slot [0-9a-f]{16} of repo local/)
    assert.equal((await stat(file)).mode & 0o777, 0o600)
    assert.equal((await keysOf(site)).slots.length, 2)
    expectCode(await site.run('repo', 'keys', 'remove', first, '--confirm=local'), 5, /only one that the/)

    await configure(site, file)
    expectCode(await site.run('repo', 'keys', 'remove', first), 5, /expected the name "local"/)
    expectOk(await site.run('repo', 'keys', 'remove', first, '--dry-run'))
    assert.equal((await keysOf(site)).slots.length, 2)
    expectOk(await site.run('repo', 'keys', 'remove', first, '--confirm=local'))
    const { slots } = await keysOf(site)
    assert.deepEqual(
      slots.map(({ kind, isOpened }) => ({ kind, isOpened })),
      [{ kind: 'key-file', isOpened: true }],
    )
    await site.switchWal()

    await configure(site, `${site.folder}/local.key`)
    expectCode(await site.run('info'), 2, /the configured key file is not one of its keys/)
  })

  test('refuses a key in its own repository, two secrets, none, and a slot that is not there', async () => {
    await using scratch = await createScratch('keys')
    await using site = await startUserSite({ major: 17, scratch })
    const inside = join(site.repository, 'a.key')

    expectCode(await site.run('repo', 'keys', 'add', '--new-key-file', inside), 5, /in its own repository/)
    await assert.rejects(access(inside))
    expectCode(await site.run('repo', 'keys', 'add'), 2, /expected one of/)
    expectCode(await site.run('repo', 'rekey', '--confirm=local'), 2, /found neither/)
    expectCode(await site.run('repo', 'keys', 'remove', '0000', '--confirm=local'), 6, /no such slot/)
  })
})

describe('repo rekey', () => {
  test('leaves one new key, and says what the configuration must say now (P10)', async () => {
    await using scratch = await createScratch('rekey')
    await using site = await startUserSite({ major: 17, scratch })
    const file = join(site.folder, 'new.key')
    const before = await ownSlot(site)

    const dry = (await site.answer('repo', 'rekey', '--new-key-file', file, '--dry-run')) as unknown
    assert.deepEqual((dry as RekeyDocument).removed, [before])
    await assert.rejects(access(file))
    expectCode(await site.run('repo', 'rekey', '--new-key-file', file), 5, /expected the name "local"/)
    const { stdout } = expectOk(await site.run('repo', 'rekey', '--new-key-file', file, '--confirm=local'))

    assert.ok(stdout.includes(`repos:\n  local:\n    key-file: ${file}\n`), stdout)
    expectCode(await site.run('info'), 2, /not one of its keys/)
    await configure(site, file)
    assert.equal((await keysOf(site)).slots.length, 1)
    await site.switchWal()
    await site.backup()
  })
})

describe('a secret that was found', () => {
  for (const [what, args] of [
    ['repo rekey', ['repo', 'rekey', '--new-passphrase-file', 'found', '--confirm=local']],
    ['repo keys add', ['repo', 'keys', 'add', '--passphrase-file', 'found']],
    ['init', ['init', '--cluster=main', '--passphrase-file=found']],
  ] as const) {
    test(`is on disk, and so is its name, before ${what} locks anything with it (P10)`, async () => {
      await using scratch = await createScratch('keys')
      await using site = await startUserSite({ major: 17, scratch })
      const { folder, server } = site
      const secret = join(folder, 'found')
      await writeFile(secret, 'one nobody guesses, as long as it is', { mode: 0o600 })
      await giveAll(folder, scratch)
      const config = what === 'init' ? join(folder, 'other.yaml') : site.configuration
      const more =
        what === 'init'
          ? [
              `--repo=posix:${folder}/other`,
              `--connection=${server.connectionString}`,
              `--bin-directory=${server.binDirectory}`,
            ]
          : []
      const command = { args: [...args, ...more], options: { config, cwd: folder }, folder }

      const { result, events } = await runWithTap(command, { isDetailed: true })

      expectOk(result)
      const calls = events.filter((event) => event.event === 'begin')
      const locked = calls.findIndex(
        ({ operation, to = '' }) => operation === 'link' && to.includes('/keys/'),
      )
      const isSynced = (path: string): boolean =>
        calls.slice(0, locked).some((call) => call.operation === 'fsync' && call.path === path)
      assert.ok(
        locked !== -1,
        calls.map(({ operation, path, to }) => `${operation} ${path} ${to}`).join('\n'),
      )
      assert.deepEqual([isSynced(secret), isSynced(folder)], [true, true])
    })
  }
})
