import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { planCopyTasks, type CopyTask } from './copy-task.ts'
import type { Scan, ScannedFile } from './scan.ts'

const MiB = 1024 * 1024

function scanOf(...files: readonly [string, number, number?][]): Scan {
  const scanned = files.map(([path, sizeBytes, root = 0]): ScannedFile => ({
    root,
    path,
    sizeBytes,
    owner: 0,
    mode: 0o600,
    modifiedAtMs: 0,
    isFollowed: false,
  }))
  return {
    directories: [],
    files: scanned,
    links: [],
    tablespaces: [],
    rootPaths: new Map(),
    owners: [],
    totalBytes: 0,
  }
}

const tasksOf = (scan: Scan, hasChecksums = true): readonly CopyTask[] => [
  ...planCopyTasks(scan, hasChecksums),
]
const slicesOf = (tasks: readonly CopyTask[]): CopyTask['slices'] => tasks.flatMap(({ slices }) => slices)

describe('planCopyTasks', () => {
  test('covers every byte of every file once, but for the control file and empty files', () => {
    const scan = scanOf(
      ['a', 3],
      ['b', 20 * MiB + 5],
      ['global/pg_control', 8192],
      ['base/5/1', 0],
      ['d', 5 * MiB],
    )
    const covered = new Map<number, number>()
    for (const { file, offset, length } of slicesOf(tasksOf(scan))) {
      assert.equal(offset, covered.get(file) ?? 0)
      covered.set(file, offset + length)
    }

    assert.deepEqual(
      covered,
      new Map([
        [0, 3],
        [1, 20 * MiB + 5],
        [4, 5 * MiB],
      ]),
    )
  })

  test('never gives a task more than a pack holds', () => {
    const files = Array.from({ length: 40 }, (_, index): [string, number] => [`f${index}`, 4 * MiB - 1])
    const tasks = tasksOf(scanOf(...files, ['big', 100 * MiB]))

    for (const { bytes } of tasks) assert.ok(bytes < 13 * MiB, `${bytes}`)
  })

  test('lets many small files share a task, but not without bound', () => {
    const files = Array.from({ length: 3000 }, (_, index): [string, number] => [`f${index}`, 1024])
    const tasks = tasksOf(scanOf(...files))

    assert.deepEqual(
      tasks.map(({ slices }) => slices.length),
      [1024, 1024, 952],
    )
  })

  test('gives the block number to check pages by, for relations only (R9, R13)', () => {
    const scan = scanOf(
      ['base/5/100', 8192],
      ['base/5/100.2', 8192],
      ['base/5/100_vm', 8192],
      ['PG_18_1/5/200.1', 8192, 16_400],
      ['pg_xact/0000', 8192],
      ['base/5/pg_filenode.map', 512],
    )

    const blocks = slicesOf(tasksOf(scan)).map(({ firstBlock }) => firstBlock)
    assert.deepEqual(blocks, [0, 262_144, 0, 131_072, undefined, undefined])
    const unchecked = slicesOf(tasksOf(scan, false)).map(({ firstBlock }) => firstBlock)
    assert.deepEqual(
      unchecked,
      scan.files.map(() => undefined),
    )
  })
})
