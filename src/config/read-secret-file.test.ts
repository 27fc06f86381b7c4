import assert from 'node:assert/strict'
import { chmod, chown, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { readSecretFile } from './read-secret-file.ts'

describe('readSecretFile', () => {
  let folder = ''
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'holdfast-secret-'))
  })
  after(() => rm(folder, { recursive: true }))

  async function secret(content: string | Uint8Array, mode = 0o600): Promise<string> {
    const path = join(folder, 'key')
    await rm(path, { force: true })
    await writeFile(path, content)
    await chmod(path, mode)
    return path
  }

  test('takes one newline off the end and nothing else (I1)', async () => {
    for (const [content, expected] of [
      ['pass phrase ', 'pass phrase '],
      ['line\n', 'line'],
      ['line\r\n', 'line'],
      ['line\n\n', 'line\n'],
      ['\n', ''],
    ] as const) {
      assert.equal(String(await readSecretFile(await secret(content))), expected)
    }
  })

  test('keeps bytes that are no text', async () => {
    const bytes = Buffer.from([0, 255, 10, 128])

    assert.deepEqual(await readSecretFile(await secret(bytes)), bytes)
  })

  test('refuses a file that others may read or write (RULES 4.2, I5)', async () => {
    for (const mode of [0o604, 0o660, 0o602, 0o610, 0o644]) {
      const path = await secret('canary', mode)
      await assert.rejects(readSecretFile(path), {
        code: 'config-invalid',
        message: /expected mode 06[04]0 or less, found mode/,
      })
    }
  })

  test(
    'lets a group read a file of root, and refuses one of another user',
    { skip: process.getuid?.() !== 0 },
    async () => {
      assert.equal(String(await readSecretFile(await secret('key', 0o640))), 'key')
      const path = await secret('key')
      await chown(path, 65534, 65534)

      await assert.rejects(readSecretFile(path), {
        message: /expected a file of this user \(uid 0\) or of root, found one of uid 65534/,
      })
    },
  )

  test('refuses links, directories, empty and large files', async () => {
    const path = await secret('key')
    await symlink(path, join(folder, 'link'))
    await mkdir(join(folder, 'directory'))

    await assert.rejects(readSecretFile(join(folder, 'link')), { message: /found a symbolic link/ })
    await assert.rejects(readSecretFile(join(folder, 'directory')), { message: /expected a regular file/ })
    await assert.rejects(readSecretFile(await secret('')), { message: /found an empty file/ })
    await assert.rejects(readSecretFile(await secret('x'.repeat(70_000))), {
      message: /at most 65536 bytes, found 70000/,
    })
  })

  test('knows a missing file by its own code', async () => {
    await assert.rejects(readSecretFile('/nonexistent/key'), { code: 'key-missing' })
  })
})
