import assert from 'node:assert/strict'
import { mkdtemp, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { systemClock } from '../platform/system-clock.ts'
import { readProcessIdentity } from '../platform/process-identity.ts'
import { PrefetchFolder } from './prefetch-folder.ts'

describe('PrefetchFolder', () => {
  test('gets a new owner after the machine was started again, and only then', async () => {
    await using scratch = await makeScratch()
    const folder = new PrefetchFolder(scratch.path, systemClock)
    const owner = readProcessIdentity()
    await folder.create()
    const leave = (identity: object): Promise<void> =>
      writeFile(join(folder.path, '.owner'), JSON.stringify(identity))

    await leave(owner)
    assert.equal(await folder.claim(), false)
    await leave({ ...owner, bootId: 'earlier' })
    assert.equal(await folder.hasOwner(), false)
    assert.equal(await folder.claim(), true)
    await leave({ ...owner, bootId: 'other', host: 'other' })
    assert.equal(await folder.claim(), false)
  })

  test('gets a new owner when the one that went with its container has been silent for a while', async () => {
    await using scratch = await makeScratch()
    const folder = new PrefetchFolder(scratch.path, systemClock)
    await folder.create()
    const owner = { ...readProcessIdentity(), pidNamespace: 'pid:[another]' }
    const leave = async (ageSeconds: number): Promise<void> => {
      await writeFile(join(folder.path, '.owner'), JSON.stringify(owner))
      const at = Date.now() / 1000 - ageSeconds
      await utimes(join(folder.path, '.owner'), at, at)
    }

    await leave(1)
    assert.equal(await folder.claim(), false)
    for (const ageSeconds of [20, -3600]) {
      await leave(ageSeconds)
      assert.equal(await folder.hasOwner(), false)
      assert.equal(await folder.claim(), true)
    }
  })

  test('stays with its owner as long as that says so, and tells it when another one took it', async () => {
    await using scratch = await makeScratch()
    const folder = new PrefetchFolder(scratch.path, systemClock)
    const path = join(scratch.path, 'holdfast-prefetch', '.owner')
    await folder.claim()
    await utimes(path, 0, 0)

    assert.equal(folder.keep(), true)
    assert.ok(Math.abs((await stat(path)).mtimeMs - Date.now()) < 2000)
    await writeFile(path, JSON.stringify({ ...readProcessIdentity(), pidNamespace: 'pid:[another]' }))
    assert.equal(folder.keep(), false)
    await folder.remove()
    assert.equal(folder.keep(), false)
  })

  test('can be removed while something still writes into it', async () => {
    await using scratch = await makeScratch()
    const folder = new PrefetchFolder(scratch.path, systemClock)
    for (let round = 0; round < 20; round += 1) {
      await folder.create()
      for (let index = 0; index < 20; index += 1) await writeFile(join(folder.path, `s${index}`), '')
      const fetching = writeMany(folder.path)
      await folder.remove()
      await fetching
      await folder.remove()
    }
  })
})

async function writeMany(path: string): Promise<void> {
  for (let index = 0; index < 60; index += 1) {
    await writeFile(join(path, `t${index}`), '').catch(() => undefined) // removed meanwhile
  }
}

async function makeScratch(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'hf-prefetch-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}
