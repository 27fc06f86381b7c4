import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { readProcessIdentity } from '../platform/process-identity.ts'
import { PrefetchFolder } from './prefetch-folder.ts'

describe('PrefetchFolder', () => {
  test('gets a new owner after the machine was started again, and only then', async () => {
    await using scratch = await makeScratch()
    const folder = new PrefetchFolder(scratch.path)
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

  test('can be removed while something still writes into it', async () => {
    await using scratch = await makeScratch()
    const folder = new PrefetchFolder(scratch.path)
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
