import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseBackupLabel } from '../domain/backup-label.ts'
import type { Extent, FileEntry } from '../repository/manifest-entry.ts'
import { assembleFiles } from './assemble-files.ts'
import { CopiedFiles } from './copied-files.ts'
import type { StoredRun } from './copy-protocol.ts'
import type { ScannedFile } from './scan.ts'

const label = parseBackupLabel('20260220-153000F')

const file = (path: string, sizeBytes: number): ScannedFile => ({
  root: 0,
  path,
  owner: 0,
  mode: 0o600,
  modifiedAtMs: 0,
  isFollowed: false,
  sizeBytes,
})

const run = (fileIndex: number, offset: number, length: number): StoredRun => ({
  file: fileIndex,
  offset,
  length,
  packNumber: 7,
  unit: offset,
  unitOffset: 0,
})

const pack = (packNumber: number) =>
  ({ packNumber, buffer: 0, sizeBytes: 1, indexTag: new Uint8Array(16) }) as const

const report = (runs: readonly StoredRun[]) => ({ runs, kept: [], resized: [], vanished: [], cut: [] })

function copied(...packNumbers: readonly number[]): CopiedFiles {
  const files = new CopiedFiles(label)
  for (const number of packNumbers) files.addPack(pack(number))
  return files
}

const assembled = (copiedFiles: CopiedFiles, files: readonly ScannedFile[]): readonly FileEntry[] => [
  ...assembleFiles({ files, copied: copiedFiles, damagedPages: new Map() }),
]

const stored = (length: number, packIndex: number, unit: number): Extent => ({
  length,
  source: { kind: 'unit', pack: packIndex, unit, offset: 0 },
})

describe('CopiedFiles', () => {
  test('puts runs in order whichever worker was first, and numbers packs by their place in the table', () => {
    const files = copied(9, 7)
    files.add(report([run(1, 0, 10), { ...run(0, 100, 50), packNumber: 9 }]))
    files.add(report([run(0, 0, 100)]))
    const entries = assembled(files, [file('a', 150), file('b', 10)])

    assert.deepEqual(
      entries.map(({ extents }) => extents),
      [[stored(100, 0, 0), stored(50, 1, 100)], [stored(10, 0, 0)]],
    )
    assert.deepEqual(
      files.packTable().map(({ number }) => number),
      [7, 9],
    )
  })

  test('keeps empty files and runs of zeros without storing them', () => {
    const files = copied()
    files.add(report([{ ...run(1, 0, 10), packNumber: 0 }]))
    const entries = assembled(files, [file('empty', 0), file('zeros', 10)])

    assert.deepEqual(
      entries.map(({ extents }) => extents),
      [[], [{ length: 10, source: { kind: 'zeros' } }]],
    )
  })

  test('cuts a file that was truncated while it was read, at the shortest end that was seen (R8)', () => {
    const files = copied(7)
    files.add({ ...report([run(0, 200, 100)]), resized: [{ file: 0, sizeBytes: 350 }] })
    files.add({ ...report([run(0, 0, 100), run(0, 100, 50)]), resized: [{ file: 0, sizeBytes: 150 }] })
    const [entry] = assembled(files, [file('a', 400)])

    assert.equal(entry?.sizeBytes, 150)
    assert.deepEqual(entry.extents, [stored(100, 0, 0), stored(50, 0, 100)])
  })

  test('leaves out a file that vanished, whatever was read of it before (R7)', () => {
    const files = copied(7)
    files.add({ ...report([run(0, 0, 100), run(1, 0, 5)]), vanished: [0] })
    const entries = assembled(files, [file('gone', 200), file('b', 5)])

    assert.ok(files.hasVanished(0))
    assert.deepEqual(
      entries.map(({ extents }) => extents),
      [[stored(5, 0, 0)]],
    )
  })

  test('holds any number of runs', () => {
    const files = copied(7)
    files.add(report(Array.from({ length: 10_000 }, (_, index) => run(0, index * 8, 8))))
    const [entry] = assembled(files, [file('a', 80_000)])

    assert.equal(entry?.extents.length, 10_000)
  })
})
