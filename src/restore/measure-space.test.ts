import assert from 'node:assert/strict'
import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { measureSpace } from './measure-space.ts'

describe('measureSpace', () => {
  test('counts what the place holds, also while a server that outlived its restore removes files', async () => {
    const path = await mkdtemp(join(tmpdir(), 'hf-space-'))
    try {
      await writeFile(join(path, 'kept'), Buffer.alloc(1024 * 1024, 1))
      const names = Array.from({ length: 500 }, (_, index) => join(path, `d${index % 20}`, `f${index}`))
      for (let folder = 0; folder < 20; folder += 1) await mkdir(join(path, `d${folder}`))
      for (const name of names) await writeFile(name, '')
      const place = { root: 0, name: '', path, state: 'interrupted' } as const

      const measured = measureSpace([place], () => 7)
      for (const name of names.toReversed()) await rm(name, { force: true })
      const [need] = await measured

      assert.equal(need?.neededBytes, 7)
      assert.ok(need.availableBytes >= 1024 * 1024)
    } finally {
      await rm(path, { recursive: true, force: true })
    }
  })
})
