import assert from 'node:assert/strict'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { isOperationError } from '../domain/operation-error.ts'
import { loadConfiguration } from './load-configuration.ts'
import { rememberedConfiguration } from './remembered-configuration.ts'

const text = `
clusters:
  main: { connection: host=/run/postgresql }
repos:
  local: { location: "posix:/backups", encryption: none }
archive: { push-timeout: 2m }
`

describe('rememberedConfiguration', () => {
  let folder = ''
  let cache = ''
  let file = ''
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'hf-remembered-'))
    cache = join(folder, 'cache')
    file = join(folder, 'holdfast.yaml')
    await writeFile(file, text, { mode: 0o600 })
  })
  afterEach(() => rm(folder, { recursive: true, force: true }))

  const request = (environment: Readonly<Record<string, string>> = {}) => ({
    explicitFile: file,
    environment,
    home: undefined,
  })

  test('gives what loadConfiguration gives, the first time and again', async () => {
    const { configuration } = await loadConfiguration(request())

    const first = await rememberedConfiguration(request(), cache)
    const again = await rememberedConfiguration(request(), cache)

    assert.equal((await readdir(cache)).length, 1)
    assert.deepEqual(first, configuration)
    assert.deepEqual(again, configuration)
  })

  test('sees every change of the file, its mode and the variables', async () => {
    await rememberedConfiguration(request(), cache)

    const overridden = await rememberedConfiguration(request({ HOLDFAST_ARCHIVE_PREFETCH: '3' }), cache)
    await writeFile(file, text.replace('2m', '3m'))
    const changed = await rememberedConfiguration(request(), cache)
    await chmod(file, 0o666)

    assert.equal(overridden.archive.prefetch, 3)
    assert.equal(changed.archive.pushTimeout, 180_000)
    await assert.rejects(rememberedConfiguration(request(), cache), isInvalid)
  })

  test('remembers nothing that is refused', async () => {
    await writeFile(file, `${text}\nunknown: 1\n`)

    for (const _ of [1, 2]) await assert.rejects(rememberedConfiguration(request(), cache), isInvalid)
    assert.deepEqual(await readdir(folder), ['holdfast.yaml'])
  })

  test('does not use what a crash or a hand left in its place', async () => {
    const good = await rememberedConfiguration(request(), cache)
    const [name = ''] = await readdir(cache)
    const written = await readFile(join(cache, name), 'utf8')
    const damages = [
      '',
      written.slice(0, 70),
      written.slice(0, -1),
      written.replace('/backups', '/elsewhr'),
      '{}',
    ]

    for (const damaged of damages) {
      await writeFile(join(cache, name), damaged)
      assert.deepEqual(await rememberedConfiguration(request(), cache), good)
      assert.equal(await readFile(join(cache, name), 'utf8'), written)
    }
  })

  test('works without a folder and with one that cannot be written', async () => {
    await writeFile(join(folder, 'file'), '')

    for (const place of [undefined, join(folder, 'file')]) {
      const { archive } = await rememberedConfiguration(request(), place)
      assert.equal(archive.pushTimeout, 120_000)
    }
  })

  test('keeps a bounded number of them', async () => {
    await mkdir(cache)
    for (let index = 0; index < 40; index += 1)
      await rememberedConfiguration(request({ HOLDFAST_ARCHIVE_PREFETCH: String(index) }), cache)

    assert.ok((await readdir(cache)).length <= 16)
  })
})

const isInvalid = (error: unknown): boolean => isOperationError(error, 'config-invalid')
