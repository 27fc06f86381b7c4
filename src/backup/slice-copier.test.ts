import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { parseBackupLabel } from '../domain/backup-label.ts'
import { isOperationError } from '../domain/operation-error.ts'
import { fromBytePath, toBytePath } from '../platform/byte-path.ts'
import { packBufferBytes } from '../repository/pack-writer.ts'
import { testContext, testRepository } from '../../test/support/repository.ts'
import { assembleFiles } from './assemble-files.ts'
import { CopiedFiles } from './copied-files.ts'
import { planCopyTasks } from './copy-task.ts'
import type { ScannedFile } from './scan.ts'
import { SliceCopier } from './slice-copier.ts'

const label = parseBackupLabel('20260220-153000F')

describe('a slice copier', () => {
  test('reads a file that was replaced by a longer one to its end, whatever others have grown by (R8)', async () => {
    const { sizes, cut } = await copy({
      'log/postgresql.log': { scanned: 1000, now: 1_500_000 },
      'log/other.log': { scanned: 1000, now: 900_000 },
      'pg_hba.conf': { scanned: 40, now: 4000 },
      'postgresql.auto.conf': { scanned: 40, now: 60_000 },
    })

    assert.equal(sizes.get('pg_hba.conf'), 4000)
    assert.equal(sizes.get('postgresql.auto.conf'), 60_000)
    assert.deepEqual(cut, ['log/other.log', 'log/postgresql.log'])
  })

  test('fails rather than leave the end of a short file out', async () => {
    const files = Object.fromEntries(
      Array.from({ length: 20 }, (_, number) => [`file-${number}`, { scanned: 10, now: 60_000 }]),
    )

    await assert.rejects(copy(files), (error) => isOperationError(error, 'backup-interrupted'))
  })
})

type Sizes = Readonly<Record<string, { readonly scanned: number; readonly now: number }>>

/** Copies files that have other sizes now than when they were scanned. */
async function copy(files: Sizes): Promise<{ sizes: ReadonlyMap<string, number>; cut: readonly string[] }> {
  using folder = makeFolder()
  const { keys } = await testRepository(testContext())
  const scanned = Object.entries(files)
    .toSorted(([one], [other]) => (one < other ? -1 : 1))
    .map(([path, { scanned: sizeBytes }]): ScannedFile => {
      const place = toBytePath(Buffer.from(path))
      return { root: 0, path: place, mode: 0o600, owner: 0, modifiedAtMs: 0, sizeBytes, isFollowed: false }
    })
  for (const [path, { now }] of Object.entries(files)) {
    mkdirSync(join(folder.path, path, '..'), { recursive: true })
    writeFileSync(join(folder.path, path), Buffer.alloc(now, `${path}\n`))
  }
  const rootPaths = new Map([[0, toBytePath(Buffer.from(folder.path))]])
  const copier = new SliceCopier({
    clusterId: '00000000000000aa',
    label,
    keys: keys.sealing,
    blockHashSeed: keys.blockHashSeed,
    compressionLevel: 1,
    rootPaths,
    buffers: [new SharedArrayBuffer(packBufferBytes), new SharedArrayBuffer(packBufferBytes)],
    occupied: new Int32Array(new SharedArrayBuffer(8)),
    freed: new Int32Array(new SharedArrayBuffer(4)),
    lastPack: new Int32Array(new SharedArrayBuffer(4)),
    audit: undefined,
  })
  const copied = new CopiedFiles(label)
  const scan = {
    files: scanned,
    rootPaths,
    directories: [],
    links: [],
    tablespaces: [],
    owners: [],
    totalBytes: 0,
  }
  for (const task of planCopyTasks(scan, true)) copied.add(copier.answer({ kind: 'copy', task }))
  const finished = copier.answer({ kind: 'finish' })
  copied.add(finished)
  for (const pack of finished.built) copied.addPack(pack)
  const entries = [...assembleFiles({ files: scanned, copied, damagedPages: new Map() })]
  return {
    sizes: new Map(entries.map(({ path, sizeBytes }) => [Buffer.from(path).toString(), sizeBytes])),
    cut: [...copied.cut].map((index) => fromBytePath(scanned[index]?.path ?? assert.fail()).toString()),
  }
}

function makeFolder(): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), 'holdfast-slices-'))
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true }) }
}
