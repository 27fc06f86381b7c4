import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { createPageKernel } from '../codec/page-kernel.ts'
import { toBytePath } from './byte-path.ts'
import { DirectWriter } from './direct-writer.ts'

const kilobyte = 1024

describe('DirectWriter', () => {
  test('writes whole pages where they belong, or says that it has not', async () => {
    await using scratch = await makeScratch()
    const { writer, path, text } = scratch
    const bytes = randomBytes(64 * kilobyte)
    await truncate(text, 256 * kilobyte)

    const isWritten = writer.write(path, bytes, 128 * kilobyte)
    writer.close()

    const expected = Buffer.alloc(256 * kilobyte)
    if (isWritten) bytes.copy(expected, 128 * kilobyte)
    assert.deepEqual(await readFile(text), expected)
  })

  test('leaves alone what is no whole page, is not at one, or is too much at once', async () => {
    await using scratch = await makeScratch()
    const { writer, path, text } = scratch

    assert.equal(writer.write(path, randomBytes(4095), 0), false)
    assert.equal(writer.write(path, randomBytes(4096), 512), false)
    assert.equal(writer.write(path, randomBytes(128 * kilobyte), 0), false)
    assert.deepEqual(await readFile(text), Buffer.alloc(0))
  })

  test('gives up for good where its memory does not suit the kernel', async () => {
    await using scratch = await makeScratch()
    const { path, text, memory } = scratch
    const writer = new DirectWriter(memory.subarray(1))
    const bytes = randomBytes(4096)

    const isWritten = writer.write(path, bytes, 0)
    assert.equal(writer.write(path, bytes, 0), isWritten)
    writer.close()

    assert.deepEqual(await readFile(text), isWritten ? bytes : Buffer.alloc(0))
  })

  test('follows no link, and throws what else the system says', async () => {
    await using scratch = await makeScratch()
    const { writer, text } = scratch
    await symlink(text, `${text}-link`)

    const write = (path: string) => () => writer.write(toBytePath(Buffer.from(path)), randomBytes(4096), 0)
    assert.throws(write(`${text}-link`), { code: 'ELOOP' })
    assert.throws(write(`${text}-missing`), { code: 'ENOENT' })
  })
})

async function makeScratch() {
  const folder = await mkdtemp(join(tmpdir(), 'hf-direct-'))
  const text = join(folder, 'file')
  await writeFile(text, '')
  const memory = createPageKernel({ inputBytes: 64 * kilobyte, seed: 0n }).input
  return {
    text,
    path: toBytePath(Buffer.from(text)),
    memory,
    writer: new DirectWriter(memory),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
  }
}
