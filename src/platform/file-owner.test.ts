import assert from 'node:assert/strict'
import { chownSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { isOperationError } from '../domain/operation-error.ts'
import { ownerToRunAs } from './file-owner.ts'

const isRoot = process.geteuid?.() === 0

describe('ownerToRunAs', () => {
  test('refuses what belongs to root', async () => {
    await assert.rejects(ownerToRunAs('/'), (error) => isOperationError(error, 'path-unsafe'))
  })

  test('names another owner only to root, and nobody for our own files', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-owner-'))
    try {
      if (isRoot) chownSync(folder, 65_534, 65_533)

      assert.deepEqual(await ownerToRunAs(folder), isRoot ? { uid: 65_534, gid: 65_533 } : undefined)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  test('fails for a path that does not exist', async () => {
    await assert.rejects(ownerToRunAs('/nowhere/at/all'), (error) =>
      isOperationError(error, 'file-unreadable'),
    )
  })
})
