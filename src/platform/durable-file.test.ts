import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import {
  mkdir,
  mkdtemp,
  open,
  readFile,
  readdir,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import {
  describeSystemError,
  entryOf,
  hasSystemCode,
  isSystemError,
  makeFolderDurably,
  publishDurably,
  publishInFolder,
  replaceDurably,
} from './durable-file.ts'
import { allocatePages } from './page-memory.ts'

const megabyte = 1024 * 1024

describe('publishDurably', () => {
  test('creates a file with these bytes and exactly this mode (R20)', async () => {
    await using folder = await makeFolder()
    const path = join(folder.path, 'file')

    assert.equal(await publishDurably(path, bytes, 0o666), 'created')

    assert.deepEqual(new Uint8Array(await readFile(path)), bytes)
    assert.equal((await stat(path)).mode & 0o7777, 0o666)
    assert.deepEqual(await readdir(folder.path), ['file'])
  })

  test('leaves a file that exists as it is (R24)', async () => {
    await using folder = await makeFolder()
    const path = join(folder.path, 'file')
    await writeFile(path, 'first')

    assert.equal(await publishDurably(path, bytes, 0o600), 'exists')

    assert.equal(await readFile(path, 'utf8'), 'first')
    assert.deepEqual(await readdir(folder.path), ['file'])
  })

  test('does not follow a link, dangling or not', async () => {
    await using folder = await makeFolder()
    await symlink('elsewhere', join(folder.path, 'link'))

    await assert.rejects(publishDurably(join(folder.path, 'link'), bytes, 0o600), { code: 'file-unwritable' })

    assert.deepEqual(await readdir(folder.path), ['link'])
  })

  test('writes every byte of memory that begins at a page, and no other', async () => {
    await using folder = await makeFolder()
    const memory = new Uint8Array(allocatePages(9 * megabyte))
    memory.set(randomBytes(memory.length))
    const sizes = [megabyte / 4 - 1, megabyte / 4, megabyte, 8 * megabyte].flatMap((size) =>
      [0, 1, 511, 512, 4095, 4096, 4097].map((more) => size + more),
    )
    const stretches = [
      ...sizes.map((size) => [0, size] as const),
      [1, megabyte],
      [4096, megabyte + 1],
    ] as const

    for (const [begin, size] of stretches) {
      const stretch = memory.subarray(begin, begin + size)
      const path = join(folder.path, `${begin}-${size}`)
      assert.equal(await publishDurably(path, stretch, 0o600), 'created')
      assert.ok((await readFile(path)).equals(stretch), `${size} bytes at ${begin}`)
      await rm(path)
    }

    assert.deepEqual(await readdir(folder.path), [])
  })

  test('says which file it could not write', async () => {
    await using folder = await makeFolder()
    const path = join(folder.path, 'absent/file')

    await assert.rejects(publishDurably(path, bytes, 0o600), {
      code: 'file-unwritable',
      message: `writing "${path}": no such file or directory (ENOENT)`,
    })
  })

  test('makes exactly one of 20 racing files', async () => {
    await using folder = await makeFolder()
    const path = join(folder.path, 'file')

    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) => publishDurably(path, Uint8Array.of(index), 0o600)),
    )

    const winners = answers.flatMap((answer, index) => (answer === 'created' ? [index] : []))
    assert.deepEqual(winners, [...(await readFile(path))])
    assert.deepEqual(await readdir(folder.path), ['file'])
  })
})

describe('publishInFolder', () => {
  test('leaves nothing behind when it is aborted', async () => {
    await using folder = await makeFolder()
    await using opened = await open(folder.path)
    const write = { bytes, mode: 0o600, temporaryPath: entryOf(opened, 'temporary') }

    await assert.rejects(publishInFolder(opened, 'file', { ...write, signal: AbortSignal.abort() }), {
      name: 'AbortError',
    })

    assert.deepEqual(await readdir(folder.path), [])
  })

  test('neither reuses nor removes a temporary file that somebody else has', async () => {
    await using folder = await makeFolder()
    await using opened = await open(folder.path)
    await writeFile(join(folder.path, 'temporary'), 'theirs')

    await assert.rejects(
      publishInFolder(opened, 'file', { bytes, mode: 0o600, temporaryPath: entryOf(opened, 'temporary') }),
      { code: 'EEXIST' },
    )

    assert.equal(await readFile(join(folder.path, 'temporary'), 'utf8'), 'theirs')
    assert.deepEqual(await readdir(folder.path), ['temporary'])
  })

  test('writes 20 MiB, which takes more than one step', async () => {
    await using folder = await makeFolder()
    const large = new Uint8Array(20 * 1024 * 1024 + 1)
    for (let offset = 0; offset < large.length; offset += 1021) large[offset] = offset / 1021

    await publishDurably(join(folder.path, 'large'), large, 0o600)

    assert.ok((await readFile(join(folder.path, 'large'))).equals(large))
  })
})

describe('replaceDurably', () => {
  test('replaces a file, its mode too', async () => {
    await using folder = await makeFolder()
    const path = join(folder.path, 'file')
    await writeFile(path, 'first, and longer', { mode: 0o644 })

    await replaceDurably(path, bytes, 0o600)

    assert.deepEqual(new Uint8Array(await readFile(path)), bytes)
    assert.equal((await stat(path)).mode & 0o7777, 0o600)
    assert.deepEqual(await readdir(folder.path), ['file'])
  })

  test('removes what writers left that died more than a day ago, and nothing else', async () => {
    await using folder = await makeFolder()
    const [old, young] = ['a', 'b'].map((letter) => `.holdfast-${letter.repeat(32)}.tmp`)
    for (const name of [old, young, '.holdfast-else.tmp']) await writeFile(join(folder.path, name ?? ''), '')
    const seconds = Date.now() / 1000 - 25 * 60 * 60
    for (const name of [old, '.holdfast-else.tmp'])
      await utimes(join(folder.path, name ?? ''), seconds, seconds)

    await replaceDurably(join(folder.path, 'file'), bytes, 0o600)

    const left = await readdir(folder.path)
    assert.deepEqual(left.toSorted(), [young, '.holdfast-else.tmp', 'file'])
  })

  test('leaves what is there when it fails', async () => {
    await using folder = await makeFolder()
    await mkdir(join(folder.path, 'occupied/by'), { recursive: true })

    await assert.rejects(replaceDurably(join(folder.path, 'occupied'), bytes, 0o600), {
      code: 'file-unwritable',
    })

    assert.deepEqual(await readdir(folder.path), ['occupied'])
  })
})

describe('makeFolderDurably', () => {
  test('makes the missing folders with exactly this mode, and leaves the others as they are', async () => {
    await using folder = await makeFolder()
    await mkdir(join(folder.path, 'a'), { mode: 0o700 })

    await makeFolderDurably(join(folder.path, 'a/b/c'), 0o777)
    await makeFolderDurably(join(folder.path, 'a/b/c'), 0o700)

    const modes = await Promise.all(['a', 'a/b', 'a/b/c'].map((name) => stat(join(folder.path, name))))
    assert.deepEqual(
      modes.map(({ mode }) => mode & 0o777),
      [0o700, 0o777, 0o777],
    )
  })

  test('refuses to call a file a folder', async () => {
    await using folder = await makeFolder()
    await writeFile(join(folder.path, 'file'), '')

    await assert.rejects(makeFolderDurably(join(folder.path, 'file'), 0o700), { code: 'file-unwritable' })
    await assert.rejects(makeFolderDurably(join(folder.path, 'file/sub'), 0o700), { code: 'file-unwritable' })
  })
})

describe('an error of the operating system', () => {
  test('is told from others, and described without call and path', async () => {
    const error: unknown = await stat('/no/such/file').catch((caught: unknown) => caught)

    assert.ok(isSystemError(error))
    assert.ok(hasSystemCode(error, 'EACCES', 'ENOENT'))
    assert.ok(!hasSystemCode(new Error('ENOENT'), 'ENOENT'))
    assert.equal(describeSystemError(error), 'no such file or directory (ENOENT)')
  })
})

const bytes = Uint8Array.of(1, 2, 3)

async function makeFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'holdfast-durable-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) }
}
