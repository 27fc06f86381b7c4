import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, rmSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { temporaryFolder } from '../../test/support/archive-fixture.ts'
import { testContext } from '../../test/support/repository.ts'
import { parseBackupLabel } from '../domain/backup-label.ts'
import { isOperationError } from '../domain/operation-error.ts'
import { toBytePath } from '../platform/byte-path.ts'
import { CopiedFiles } from './copied-files.ts'
import { refuseVanishedFiles } from './refuse-vanished-files.ts'
import type { ScannedFile } from './scan.ts'

const paths = ['base/5/1259', 'base/5/PG_VERSION']

describe('refuseVanishedFiles', () => {
  test('lets a database go that is being dropped, however long the removal of its files takes (R7)', async () => {
    const { waitedMs } = await check({ left: 100, vanished: [0, 1], eachSleep: removeOne })
    assert.ok(waitedMs > 5000)
  })

  test('refuses when a database lost the file and stays', async () => {
    await assert.rejects(check({ left: 3, vanished: [1] }), (error) => {
      assert.ok(isOperationError(error, 'file-unreadable'))
      assert.match(error.message, /PG_VERSION": the file has vanished/)
      return true
    })
  })

  test('lets relations go at once', async () => {
    assert.equal((await check({ left: 3, vanished: [0] })).waitedMs, 0)
  })
})

function removeOne(folder: string): void {
  const [name] = readdirSync(folder)
  if (name === undefined) rmdirSync(folder)
  else rmSync(join(folder, name))
}

interface Vanishing {
  /** Other files that are still in the folder of the database. */
  readonly left: number
  readonly vanished: readonly number[]
  readonly eachSleep?: (folder: string) => void
}

async function check({ left, vanished, eachSleep }: Vanishing): Promise<{ waitedMs: number }> {
  await using scratch = await temporaryFolder()
  const folder = join(scratch.path, 'base', '5')
  mkdirSync(folder, { recursive: true })
  for (let number = 0; number < left; number += 1) writeFileSync(join(folder, String(number)), '')
  const files = paths.map((path): ScannedFile => ({
    root: 0,
    mode: 0o600,
    owner: 0,
    modifiedAtMs: 0,
    sizeBytes: 1,
    isFollowed: false,
    path: toBytePath(Buffer.from(path)),
  }))
  const scan = {
    files,
    directories: [],
    links: [],
    tablespaces: [],
    owners: [],
    totalBytes: 0,
    rootPaths: new Map([[0, toBytePath(Buffer.from(scratch.path))]]),
  }
  const copied = new CopiedFiles(parseBackupLabel('20260220-153000F'))
  copied.add({ runs: [], kept: [], resized: [], vanished: [...vanished], cut: [] })
  let waitedMs = 0
  const clock = {
    now: () => 0,
    monotonic: () => waitedMs,
    sleep: (ms: number): Promise<void> => {
      waitedMs += ms
      eachSleep?.(folder)
      return Promise.resolve()
    },
  }
  await refuseVanishedFiles(scan, copied, testContext({ clock }))
  return { waitedMs }
}
