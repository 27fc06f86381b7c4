import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { tidyCompiledCode } from './tidy-compiled-code.ts'

describe('tidyCompiledCode', () => {
  test('removes what other versions of Node have left, and leaves files alone', async () => {
    await using scratch = await makeScratch()
    const { path } = scratch
    for (const name of ['v24.12.0-x64', 'v24.21.0-x64', 'v26.0.0-x64']) await mkdir(join(path, name))
    await writeFile(join(path, 'configuration-1'), '')
    await utimes(join(path, 'v24.12.0-x64'), 0, 0)
    await utimes(join(path, 'v24.21.0-x64'), 0, 0)

    await tidyCompiledCode(path, '/other/v24.21.0-x64')

    assert.deepEqual((await readdir(path)).toSorted(), ['configuration-1', 'v24.21.0-x64', 'v26.0.0-x64'])
  })

  test('begins anew when there are more files than our code has', async () => {
    await using scratch = await makeScratch()
    const { path } = scratch
    await mkdir(join(path, 'v24'))
    for (let index = 0; index < 2001; index += 1) await writeFile(join(path, 'v24', String(index)), '')

    await tidyCompiledCode(path, join(path, 'v24'))

    assert.deepEqual(await readdir(path), [])
  })
})

async function makeScratch(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'hf-compiled-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}
