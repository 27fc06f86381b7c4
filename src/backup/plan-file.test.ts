import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ChangedBlocks } from '../wal/changed-blocks.ts'
import { planFile, type FilePlanning } from './plan-file.ts'

const block = 8192
const relation = { tablespace: 1663, database: 5, relation: 16_384, fork: 0 }

describe('planFile', () => {
  test('reads nothing of a file that the WAL does not name', () => {
    assert.equal(plan({ changes: new ChangedBlocks() }), 'blocks')
  })

  test('reads the blocks that the WAL names, in rows', () => {
    assert.equal(plan({ changes: named(9, 1, 2, 5) }), 'blocks 1-3 5-6 9-10')
  })

  test('counts blocks from the beginning of each file of a large relation (R9)', () => {
    const changes = named(5, 131_072, 131_075, 2 * 131_072)

    assert.equal(plan({ path: 'base/5/16384.1', changes }), 'blocks 0-1 3-4')
    assert.equal(plan({ path: 'base/5/16384.3', changes }), 'blocks')
  })

  test('reads what the parent did not have, from its last whole block on', () => {
    assert.equal(plan({ size: 12 * block, parentSize: 10 * block, changes: named(9, 11) }), 'blocks 9-12')
    assert.equal(plan({ size: 11 * block + 5, parentSize: 10 * block + 7, changes: named() }), 'blocks 10-12')
  })

  test('reads everything at and behind the place where the fork was cut (R51)', () => {
    const changes = named(1, 8)
    changes.forkOf(relation).limitTo(7)

    assert.equal(plan({ changes }), 'blocks 1-2 7-10')
    assert.equal(plan({ size: 7 * block, changes }), 'blocks 1-2')
    assert.equal(plan({ path: 'base/5/16384.1', changes }), 'compared')
  })

  test('compares a file that became shorter though the WAL tells of no cut', () => {
    assert.equal(plan({ size: 9 * block, changes: named() }), 'compared')
    const changes = named()
    changes.forkOf(relation).limitTo(10)
    assert.equal(plan({ size: 9 * block, changes }), 'compared')
  })

  test('reads blocks again that were damaged in the parent', () => {
    assert.equal(plan({ damagedBlocks: [3, 9], changes: named(4) }), 'blocks 3-5 9-10')
  })

  test('compares what was made anew from its first block on, and whole databases (M16)', () => {
    const created = named()
    created.forkOf(relation).limitTo(0)
    const copied = named()
    copied.addDatabase(1663, 5)

    assert.equal(plan({ changes: created }), 'compared')
    assert.equal(plan({ changes: copied }), 'compared')
    assert.equal(plan({ path: 'base/6/16384', changes: copied }), 'blocks')
    assert.equal(plan({ root: 16_500, path: 'PG_18_202506291/5/16384', changes: copied }), 'blocks')
  })

  test('compares visibility maps, free space maps, init forks and what is no relation (M15)', () => {
    for (const path of [
      'base/5/16384_vm',
      'base/5/16384_fsm',
      'base/5/16384_init',
      'pg_xact/0000',
      'PG_VERSION',
    ])
      assert.equal(plan({ path, changes: named() }), 'compared')
  })

  test('stores all of a file that the parent does not have', () => {
    assert.equal(
      planFile({ file: fileOf('base/5/1', 8192), parent: undefined, changes: named() }).kind,
      'new',
    )
  })

  test('compares everything when what changed is not proven (R52)', () => {
    assert.equal(plan({ changes: undefined }), 'compared')
  })

  test('tells relations of tablespaces and of the shared catalogs apart', () => {
    const changes = new ChangedBlocks()
    changes.forkOf({ ...relation, tablespace: 16_500 }).add(1)
    changes.forkOf({ tablespace: 1664, database: 0, relation: 1262, fork: 0 }).add(2)

    assert.equal(plan({ root: 16_500, path: 'PG_18_202506291/5/16384', changes }), 'blocks 1-2')
    assert.equal(plan({ path: 'global/1262', changes }), 'blocks 2-3')
    assert.equal(plan({ changes }), 'blocks')
  })
})

function named(...blocks: readonly number[]): ChangedBlocks {
  const changes = new ChangedBlocks()
  for (const number of blocks) changes.forkOf(relation).add(number)
  return changes
}

const fileOf = (path: string, sizeBytes: number, root = 0): FilePlanning['file'] => ({
  root,
  path,
  sizeBytes,
})

interface Sample {
  readonly root?: number
  readonly path?: string
  readonly size?: number
  readonly parentSize?: number
  readonly damagedBlocks?: readonly number[]
  readonly changes: ChangedBlocks | undefined
}

/** A file of ten blocks, now and in the parent, unless said otherwise. */
function plan(sample: Sample): string {
  const {
    root,
    path = 'base/5/16384',
    size = 10 * block,
    parentSize = 10 * block,
    damagedBlocks = [],
  } = sample
  const reading = planFile({
    file: fileOf(path, size, root),
    parent: { sizeBytes: parentSize, damagedBlocks },
    changes: sample.changes,
  })
  if (reading.kind !== 'blocks') return reading.kind
  return ['blocks', ...reading.ranges.map(({ first, end }) => `${first}-${end}`)].join(' ')
}
