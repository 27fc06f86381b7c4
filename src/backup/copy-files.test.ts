import assert from 'node:assert/strict'
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { toBytePath } from '../platform/byte-path.ts'
import { createPlace, recordingContext } from '../../test/support/archive-fixture.ts'
import { parseBackupLabel } from '../domain/backup-label.ts'
import { FileCopier } from './copy-files.ts'
import type { CopyTask } from './copy-task.ts'
import { type Scan, type ScannedFile } from './scan.ts'

describe('FileCopier', () => {
  test('stops all workers as soon as one fails', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'hf-copy-'))
    try {
      await symlink('/etc/hostname', join(folder, 'bad')) // a link where a file was scanned is not followed
      await writeFile(join(folder, 'good'), Buffer.alloc(8192, 7))
      const scan = scanOf(folder, ['bad', 'good'])
      const context = recordingContext()
      const { repository, cluster } = await createPlace()
      const options = {
        clusterId: cluster.id,
        label: parseBackupLabel('20260220-153000F'),
        workers: 2,
        compressionLevel: 1,
        maxRate: 81_920,
        audit: undefined,
      }
      await using copier = new FileCopier({ repository, scan, options }, context)
      let copiedCount = 0
      const tasks = [taskOf('bad', 0), ...Array.from({ length: 50 }, () => taskOf('good', 1))]

      await assert.rejects(
        copier.run(tasks.values(), () => (copiedCount += 1)),
        { code: 'file-unreadable' },
      )

      assert.ok(copiedCount < 10, `${copiedCount} tasks were done`)
    } finally {
      await rm(folder, { recursive: true })
    }
  })
})

function scanOf(folder: string, paths: readonly string[]): Scan {
  const file = {
    root: 0,
    mode: 0o600,
    owner: 0,
    sizeBytes: 8192,
    modifiedAtMs: 0,
    readsToEnd: false,
    isFollowed: false,
  }
  return {
    directories: [],
    files: paths.map((path): ScannedFile => ({ ...file, path })),
    links: [],
    tablespaces: [],
    rootPaths: new Map([[0, toBytePath(Buffer.from(folder))]]),
    owners: ['postgres:postgres'],
    totalBytes: 8192 * paths.length,
  }
}

function taskOf(path: string, file: number): CopyTask {
  const slice = {
    file,
    root: 0,
    path,
    offset: 0,
    length: 8192,
    firstBlock: undefined,
    isFollowed: false,
    readsToEnd: false,
  }
  return { slices: [slice], bytes: 8192 }
}
