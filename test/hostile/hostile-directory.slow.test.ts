import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { lstatSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { expectOk } from '../support/holdfast.ts'
import { createScratch, type Scratch } from '../support/scratch.ts'
import { startUserSite, type UserSite } from '../support/user-site.ts'

// RULES 4.4, R16: what somebody who can write into a data directory can leave there for a backup and its restore.
describe('a backup of a data directory with hostile content', () => {
  let scratch: Scratch
  let site: UserSite

  before(async () => {
    scratch = await createScratch('hostile-dir')
    site = await startUserSite({ major: 17, scratch })
  })
  after(async () => {
    await site[Symbol.asyncDispose]()
    await scratch[Symbol.asyncDispose]()
  })

  async function restored(name: string, label: string): Promise<Buffer> {
    const target = join(site.folder, name)
    expectOk(
      await site.run(
        'restore',
        '--target-dir',
        target,
        '--files-only',
        '--backup',
        label,
        '--target-immediate',
      ),
    )
    return Buffer.from(target)
  }

  test('keeps names of any bytes and passes over what is no file, without opening it', async () => {
    const folder = Buffer.from(join(site.server.dataDirectory, 'hostile'))
    mkdirSync(folder)
    const names = [
      'line\nbreak',
      '\u00ff\u00fe',
      ' ',
      '-rf',
      '$(touch x)',
      "it's",
      '\\',
      'x'.repeat(255),
    ].map((name) => Buffer.from(name, 'latin1'))
    for (const name of names) writeFileSync(at(folder, name), name)
    execFileSync('/usr/bin/mkfifo', [at(folder, 'fifo').toString()])
    await using _ = await listenOn(at(folder, 'socket').toString())
    execFileSync('chown', ['-R', `${scratch.user.uid}`, folder.toString()])

    const label = await site.backup()
    await site.switchWal()

    const copy = at(await restored('odd-names', label), 'hostile')
    for (const name of names) assert.ok(readFileSync(at(copy, name)).equals(name))
    for (const name of ['fifo', 'socket']) {
      assert.equal(lstatSync(at(copy, name), { throwIfNoEntry: false }), undefined)
    }
  })

  test('is refused when a link leads out of it, before anything behind the link is read', async () => {
    const path = join(site.server.dataDirectory, 'base', 'secrets')
    symlinkSync('/etc/shadow', path)

    const result = await site.run('backup')

    assert.equal(result.code, 5, result.stderr)
    assert.match(result.stderr, /error: .*secrets/)
    execFileSync('rm', [path])
  })

  test('never holds a path that a restore would refuse', async () => {
    // 16 directories with names of 220 bytes: 3536 bytes below the data directory, less than a system call takes.
    const name = 'd'.repeat(220)
    const make = `let path = '.'; for (let i = 0; i < 16; i += 1) { require('fs').mkdirSync('${name}'); process.chdir('${name}') }
      require('fs').writeFileSync('file', 'deep')`
    execFileSync(process.execPath, ['-e', make], { cwd: site.server.dataDirectory })
    execFileSync('chown', ['-R', `${scratch.user.uid}`, name], { cwd: site.server.dataDirectory })

    const result = await site.run('--output', 'json', 'backup')

    await site.switchWal()
    const { backup } = JSON.parse(expectOk(result).stdout) as { backup: { label: string } }
    const copy = await restored('deep', backup.label)
    const deepest = execFileSync('find', [copy.toString(), '-name', 'file']).toString()
    assert.equal(deepest.trimEnd().length, copy.length + 16 * 221 + '/file'.length)
    execFileSync('rm', ['-rf', name], { cwd: site.server.dataDirectory })
  })
})

const at = (folder: Buffer, name: string | Buffer): Buffer =>
  Buffer.concat([folder, Buffer.from('/'), Buffer.from(name)])

async function listenOn(path: string): Promise<AsyncDisposable> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(path, resolve))
  return server
}
