import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import {
  chmod,
  chown,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises'
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

  test('does not use what others have written or can write', async () => {
    const good = await rememberedConfiguration(request(), cache)
    const path = join(cache, (await readdir(cache))[0] ?? '')
    const body = JSON.stringify({ ...good, archive: { ...good.archive, prefetch: 7 } })
    const planted = `${createHash('sha256').update(body).digest('hex')}\n${body}`
    const plant = async (mode: number, uid = process.geteuid?.() ?? 0): Promise<number> => {
      await rm(path, { force: true })
      await writeFile(path, planted, { mode })
      await chmod(path, mode)
      if (uid !== process.geteuid?.()) await chown(path, uid, 0)
      return (await rememberedConfiguration(request(), cache)).archive.prefetch
    }

    assert.equal(await plant(0o600), 7)
    assert.equal(await plant(0o620), good.archive.prefetch)
    assert.equal(await plant(0o602), good.archive.prefetch)
    if (process.geteuid?.() === 0) assert.equal(await plant(0o600, 65_534), good.archive.prefetch)
    await rename(path, join(folder, 'moved'))
    await symlink(join(folder, 'moved'), path)
    assert.equal((await rememberedConfiguration(request(), cache)).archive.prefetch, good.archive.prefetch)
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
