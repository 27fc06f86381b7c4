import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { FileTable, NumberRows, groupByPack, type Layout } from './layout.ts'
import { leaveOutFiles, type LeaveOut } from './leave-out.ts'

describe('leaveOutFiles', () => {
  test('keeps the size of a file and takes its content and the packs of nothing else', () => {
    const { layout, leftOut } = leaveOutFiles(sample(), ({ relationNumber }) => relationNumber === 16_400)

    assert.equal(layout.files.count, 4)
    assert.equal(layout.files.sizeBytes(1), 100)
    assert.deepEqual(
      groupByPack(layout.runs, 3).map((rows) => rows.length),
      [2, 0, 1],
    )
    assert.equal(layout.packedBytes, 90)
    assert.deepEqual(
      [...layout.bytesOfRoot],
      [
        [0, 40],
        [16_390, 50],
      ],
    )
    assert.deepEqual(leftOut, {
      files: new Set(['1663/5/16400_main.0']),
      relations: new Set([16_400]),
      bytes: 100,
    })
  })

  test('asks for files of tablespaces by the OID of their tablespace', () => {
    const asked: string[] = []
    leaveOutFiles(sample(), ({ tablespaceOid, relationNumber }, sizeBytes) => {
      asked.push(`${tablespaceOid} ${relationNumber} ${sizeBytes}`)
      return false
    })

    assert.deepEqual(asked, ['1663 1259 30', '1663 16400 100', '16390 16401 50'])
  })

  test('says so when nothing is left out', () => {
    const whole = sample()

    assert.deepEqual(leaveOutFiles(whole, nothing), { layout: whole, leftOut: undefined })
  })
})

const nothing: LeaveOut = () => false

/** A catalog, a table that shares pack 0 with it and has pack 1 for itself, a status file, and one of a tablespace. */
function sample(): Layout {
  const files = new FileTable()
  const runs = new NumberRows(6)
  const add = (root: number, path: string, parts: readonly (readonly [pack: number, bytes: number])[]) => {
    const sizeBytes = parts.reduce((sum, [, bytes]) => sum + bytes, 0)
    const file = files.add({ root, path, mode: 0o600, sizeBytes })
    for (const [pack, bytes] of parts) runs.add([pack, 0, 0, bytes, file, 0])
  }
  add(0, 'base/5/1259', [[0, 30]])
  add(0, 'base/5/16400', [
    [0, 60],
    [1, 40],
  ])
  add(0, 'pg_xact/0000', [[0, 10]])
  add(16_390, 'PG_18_202506291/5/16401', [[2, 50]])
  return {
    directories: [],
    files,
    links: [],
    runs,
    zeros: new NumberRows(3),
    bytesOfRoot: new Map([
      [0, 140],
      [16_390, 50],
    ]),
    packedBytes: 190,
    controlFile: 0,
  }
}
