import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import {
  blocksPerRelationFile,
  findUnloggedRelations,
  firstBlockOf,
  isWithoutWal,
  parseRelationFileName,
  parseRelationPath,
} from './page-layout.ts'

describe('parseRelationPath', () => {
  test('reads files of databases, shared relations and tablespaces', () => {
    assert.deepEqual(parseRelationPath('base/5/16384'), {
      tablespaceOid: 1663,
      databaseOid: 5,
      relationNumber: 16_384,
      fork: 'main',
      segmentNumber: 0,
      isTemporary: false,
    })
    assert.deepEqual(parseRelationPath('global/1262_fsm'), {
      tablespaceOid: 1664,
      databaseOid: 0,
      relationNumber: 1262,
      fork: 'fsm',
      segmentNumber: 0,
      isTemporary: false,
    })
    assert.deepEqual(parseRelationPath('pg_tblspc/16500/PG_15_202209061/5/16384_vm.2'), {
      tablespaceOid: 16_500,
      databaseOid: 5,
      relationNumber: 16_384,
      fork: 'vm',
      segmentNumber: 2,
      isTemporary: false,
    })
  })

  test('knows temporary relations and init forks (R10, R11)', () => {
    assert.equal(parseRelationPath('base/5/t3_16384')?.isTemporary, true)
    assert.equal(parseRelationPath('base/5/t3_16384_fsm.1')?.fork, 'fsm')
    assert.equal(parseRelationPath('base/5/16384_init')?.fork, 'init')
  })

  const others = [
    'pg_xact/0000',
    'global/pg_control',
    'base/5/PG_VERSION',
    'base/5/pg_filenode.map',
    '16384',
    'base/16384',
    'base/5/016384',
    'base/5/16384.0',
    'base/5/16384.01',
    'base/5/16384_old',
    'base/5/16384_vm_vm',
    'base/5/0',
    'base/5/4294967296',
    'base/4294967296/1',
    'base/5/16384.32768',
    'base/5/sub/16384',
    'base//16384',
    '',
    'pg_tblspc/16500/5/16384',
    'pg_tblspc/16500/PG_15_1/16384',
    './base/5/16384',
    '/base/5/16384',
    'base/5/1\n',
    'base/5/pgsql_tmp/1',
    'base/5/t_16384',
    'base/5/16384_init.a',
    'x/global/1262',
  ]
  for (const path of others) {
    test(`says that ${JSON.stringify(path)} is no relation file (R9)`, () => {
      assert.equal(parseRelationPath(path), undefined)
    })
  }

  test('answers any text', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const file = parseRelationPath(`base/5/${text}`)

        assert.ok(file === undefined || /^[t0-9_.a-z]+$/.test(text))
      }),
    )
  })
})

describe('firstBlockOf', () => {
  test('counts blocks through the files of a fork (R9)', () => {
    assert.equal(firstBlockOf({ segmentNumber: 0 }), 0)
    assert.equal(firstBlockOf({ segmentNumber: 3 }), 3 * blocksPerRelationFile)
  })
})

describe('isWithoutWal', () => {
  test('spares the init fork of an unlogged relation and all of a logged one (R11)', () => {
    const unlogged = findUnloggedRelations([
      '20',
      '20_init',
      '20_fsm',
      '20.1',
      '30',
      't1_30_init',
      'PG_VERSION',
    ])
    const withoutWal = ['20', '20_init', '20_fsm', '20.1', '30', 't1_40'].filter((name) => {
      const file = parseRelationFileName(name)
      return file !== undefined && isWithoutWal(file, unlogged)
    })

    assert.deepEqual([...unlogged], [20])
    assert.deepEqual(withoutWal, ['20', '20_fsm', '20.1', 't1_40'])
  })
})
