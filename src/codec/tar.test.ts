import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { isOperationError } from '../domain/operation-error.ts'
import { isTarName, readTar, tarEnd, tarHeader, tarPadding } from './tar.ts'

const files = new Map([
  ['toc.dat', Buffer.from('contents')],
  ['3001.dat', Buffer.alloc(70_000, 'abc')],
  ['empty.dat', Buffer.alloc(0)],
  ['whole.dat', Buffer.alloc(1024, 1)],
])

function archive(): Buffer {
  const parts = [...files].flatMap(([name, bytes]) => [
    tarHeader({ name, sizeBytes: bytes.length }),
    bytes,
    tarPadding(bytes.length),
  ])
  return Buffer.concat([...parts, tarEnd()])
}

async function read(bytes: Uint8Array, chunkBytes: number): Promise<ReadonlyMap<string, Buffer>> {
  const found = new Map<string, Buffer>()
  const chunks = async function* (): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes)
  }
  for await (const { entry, bytes: piece = new Uint8Array(0) } of readTar(chunks()))
    found.set(entry.name, Buffer.concat([found.get(entry.name) ?? Buffer.alloc(0), piece]))
  return found
}

const isDamaged = (error: unknown): boolean => isOperationError(error, 'damaged')

describe('tar', () => {
  test('is read back as it was written, however it is cut', async () => {
    for (const chunkBytes of [1, 511, 512, 513, 1 << 20])
      assert.deepEqual(await read(archive(), chunkBytes), files)
  })

  test('is what the tar of the system reads and writes', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'hf-tar-'))
    try {
      writeFileSync(join(folder, 'ours.tar'), archive())
      execFileSync('tar', ['-xf', 'ours.tar'], { cwd: folder })
      for (const [name, bytes] of files) assert.deepEqual(readFileSync(join(folder, name)), bytes)
      execFileSync('tar', ['--format=ustar', '-cf', 'theirs.tar', ...files.keys()], { cwd: folder })
      assert.deepEqual(await read(readFileSync(join(folder, 'theirs.tar')), 4096), files)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  test('has files of more than 8 GiB', async () => {
    const sizeBytes = 5 * 2 ** 40 + 1
    const chunks = async function* (): AsyncGenerator<Uint8Array> {
      yield tarHeader({ name: 'large.dat', sizeBytes })
      yield new Uint8Array(3)
    }
    const { value } = await readTar(chunks()).next()
    assert.deepEqual(value?.entry, { name: 'large.dat', sizeBytes })
  })

  test('is damaged when it is cut, changed, or followed by something', async () => {
    const whole = archive()
    const flipped = Buffer.from(whole)
    flipped[3] = 0x41
    for (const bytes of [whole.subarray(0, 300), whole.subarray(0, -1024), flipped])
      await assert.rejects(read(bytes, 512), isDamaged)
    await assert.rejects(read(Buffer.concat([whole, Buffer.from('x')]), 512), isDamaged)
  })

  test('holds nothing that leads out of a folder', async () => {
    for (const name of ['../x', '/x', 'a/b', '', '.', '..', '-x', 'a\nb', 'a'.repeat(100)])
      assert.ok(!isTarName(name), name)
    const folder = mkdtempSync(join(tmpdir(), 'hf-tar-'))
    try {
      execFileSync('ln', ['-s', '/etc', 'link'], { cwd: folder })
      execFileSync('tar', ['--format=ustar', '-cf', 'theirs.tar', 'link'], { cwd: folder })
      const theirs = readFileSync(join(folder, 'theirs.tar'))
      await assert.rejects(read(theirs, 512), isDamaged)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})
