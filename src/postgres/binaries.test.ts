import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { isOperationError } from '../domain/operation-error.ts'
import { findClusterMaker, findServerBinaries } from './binaries.ts'

const { signal } = new AbortController()

describe('findServerBinaries', () => {
  test('takes the configured folder when its version fits', async () => {
    await withServer('postgres (PostgreSQL) 17.10 (Debian 17.10-1)', async (folder) => {
      const found = await findServerBinaries(17, { configured: folder, searchPath: '' }, signal)

      assert.equal(found.binDirectory, folder)
      assert.equal(found.version, '17.10')
      assert.equal(found.postgres, join(folder, 'postgres'))
    })
  })

  test('searches the PATH that it was given', async () => {
    await withServer('postgres (PostgreSQL) 18beta1', async (folder) => {
      const found = await findServerBinaries(18, { searchPath: `relative:/nowhere:${folder}` }, signal)

      assert.equal(found.version, '18beta1')
    })
  })

  test('refuses another major and says what it found where (I4)', async () => {
    await withServer('postgres (PostgreSQL) 13.4', async (folder) => {
      await assert.rejects(
        findServerBinaries(17, { configured: folder, searchPath: '' }, signal),
        (error) =>
          isOperationError(error, 'binaries-missing') &&
          error.message.includes(`"${folder}" (PostgreSQL 13.4)`) &&
          error.message.includes('"/usr/lib/postgresql/17/bin" (no server there)'),
      )
    })
  })

  test('passes by a program that fails', async () => {
    await withServer('postgres (PostgreSQL) 17.10"; exit 1; echo "', async (folder) => {
      await assert.rejects(findServerBinaries(17, { searchPath: folder }, signal), (error) =>
        isOperationError(error, 'binaries-missing'),
      )
    })
  })
})

describe('findClusterMaker', () => {
  test('takes a server of a later major that has initdb', async () => {
    await withServer('postgres (PostgreSQL) 18.4', async (folder) => {
      writeFileSync(join(folder, 'initdb'), '', { mode: 0o755 })
      const found = await findClusterMaker(18, { configured: folder, searchPath: '' }, signal)

      assert.deepEqual([found.major, found.initdb], [18, join(folder, 'initdb')])
    })
  })

  test('names the program that is missing, and where', async () => {
    await withServer('postgres (PostgreSQL) 18.4', async (folder) => {
      await assert.rejects(
        findClusterMaker(18, { configured: folder, searchPath: '' }, signal),
        (error) =>
          isOperationError(error, 'binaries-missing') &&
          error.message.includes(`"${folder}" has PostgreSQL 18.4 without its program "initdb"`),
      )
    })
  })
})

async function withServer(version: string, use: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-bin-'))
  try {
    writeFileSync(join(folder, 'postgres'), `#!/bin/sh\necho "${version}"\n`)
    chmodSync(join(folder, 'postgres'), 0o755)
    await use(folder)
  } finally {
    rmSync(folder, { recursive: true })
  }
}
