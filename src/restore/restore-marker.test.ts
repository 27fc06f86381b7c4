import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { parseBackupLabel } from '../domain/backup-label.ts'
import { isOperationError } from '../domain/operation-error.ts'
import { readProcessIdentity } from '../platform/process-identity.ts'
import {
  claimDirectory,
  markerFile,
  readMarker,
  releaseDirectory,
  supersededMarkerFile,
} from './restore-marker.ts'

const own = readProcessIdentity()
const dead = { ...own, startTicks: '1' }

describe('claimDirectory', () => {
  test('lets one of many restores have a directory, new or left by a dead one (R47)', async () => {
    for (const left of [undefined, dead]) {
      using scratch = makeScratch()
      if (left !== undefined) leave(scratch.folder, left)

      const attempts = Array.from({ length: 8 }, () => claimDirectory(scratch.folder, marker))
      const results = await Promise.allSettled(attempts)

      assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1)
      for (const result of results) {
        if (result.status === 'rejected')
          assert.ok(isOperationError(result.reason, 'busy'), String(result.reason))
      }
      assert.match(readFileSync(join(scratch.folder, markerFile), 'utf8'), /"dataDirectory":"\/data"/)
      await assert.rejects(readMarker(scratch.folder), /another restore works there/)
    }
  })

  test('gives back what it found', async () => {
    using scratch = makeScratch()
    await releaseDirectory(await claimDirectory(scratch.folder, marker))
    assert.deepEqual(readdirSync(scratch.folder), [])
    leave(scratch.folder, dead)
    await releaseDirectory(await claimDirectory(scratch.folder, marker))
    assert.deepEqual(readdirSync(scratch.folder), [markerFile])
    assert.equal((await readMarker(scratch.folder))?.systemIdentifier, '7')
  })

  test('takes up what was killed between two markers (R47)', async () => {
    using scratch = makeScratch()
    leave(scratch.folder, dead, supersededMarkerFile)
    assert.equal((await readMarker(scratch.folder))?.systemIdentifier, '7')
    assert.equal((await claimDirectory(scratch.folder, marker)).left?.systemIdentifier, '7')
  })
})

describe('readMarker', () => {
  test('knows that a restore of an earlier boot is gone, and which file tells of another host (R47)', async () => {
    using scratch = makeScratch()
    leave(scratch.folder, { ...own, bootId: 'earlier' })
    assert.equal((await readMarker(scratch.folder))?.systemIdentifier, '7')
    leave(scratch.folder, { ...own, bootId: 'other', host: 'other' })
    await assert.rejects(
      readMarker(scratch.folder),
      (error) =>
        isOperationError(error, 'busy') && error.hint?.includes(join(scratch.folder, markerFile)) === true,
    )
  })
})

const label = parseBackupLabel('20260220-153000F')
const marker = { systemIdentifier: '7', backup: label, dataDirectory: '/data' }

function leave(folder: string, holder: object, name = markerFile): void {
  writeFileSync(join(folder, name), JSON.stringify({ systemIdentifier: '7', dataDirectory: '/data', holder }))
}

function makeScratch(): Disposable & { readonly folder: string } {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'hf-claim-')))
  return { folder, [Symbol.dispose]: () => rmSync(folder, { recursive: true }) }
}
