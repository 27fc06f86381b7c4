import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { dumpOutcomeOf } from './dump-drill-report.ts'
import { judgeLoads, judgeRoles, judgeRows, judgeTables, type TriedDatabase } from './judge-dump-drill.ts'
import { MadeForDump } from './load-drilled.ts'

const tried = (outline: Partial<TriedDatabase['outline']>, tables: number, rows: number): TriedDatabase => ({
  database: 'shop',
  rawBytes: 1,
  outline: { entryCount: 1, tableCount: 0, hasRows: true, isDataOnly: false, ...outline },
  loadMs: 1,
  result: { kind: 'loaded', counted: { tables, rows } },
  note: undefined,
})

const failed: TriedDatabase = { ...tried({}, 0, 0), result: { kind: 'failed', problem: 'no' } }

describe('what was loaded of a dump', () => {
  test('fails when a table is not there, and proves nothing when none is', () => {
    assert.equal(judgeTables([tried({ tableCount: 2 }, 1, 5)]).state, 'failed')
    assert.equal(
      judgeTables([tried({ tableCount: 1 }, 0, 0), tried({ tableCount: 1 }, 1, 1)]).state,
      'failed',
    )
    assert.equal(judgeTables([tried({}, 0, 0)]).state, 'not-proven')
    assert.equal(judgeTables([]).state, 'not-proven')
    assert.equal(judgeTables([tried({}, 0, 0), tried({ tableCount: 1 }, 1, 0)]).state, 'passed')
  })

  test('proves nothing without a row, unless the dump has definitions only', () => {
    assert.equal(judgeRows([tried({ tableCount: 1 }, 1, 0)]).state, 'not-proven')
    assert.equal(judgeRows([tried({ tableCount: 1, hasRows: false }, 1, 0)]).state, 'passed')
    assert.equal(judgeRows([tried({ hasRows: false }, 0, 0)]).state, 'not-proven')
    assert.equal(judgeRows([]).state, 'not-proven')
    assert.equal(judgeRows([tried({ tableCount: 1 }, 1, 7)]).message, '7 rows, counted')
  })

  test('fails for one database of several, and proves nothing without any', () => {
    assert.deepEqual(judgeLoads([tried({}, 1, 1), failed]), {
      name: 'load',
      state: 'failed',
      message: '1 of 2 databases cannot be loaded',
      findings: ['shop: no'],
    })
    assert.equal(judgeLoads([]).state, 'not-proven')
  })

  test('passes only with all checks', () => {
    const whole = [tried({ tableCount: 1 }, 1, 1)]
    const checks = [
      judgeRoles(undefined, new MadeForDump()),
      judgeLoads(whole),
      judgeTables(whole),
      judgeRows(whole),
    ]

    assert.equal(dumpOutcomeOf(checks), 'not-proven')
    assert.equal(
      dumpOutcomeOf([...checks, { name: 'assertions', state: 'passed', message: '', findings: [] }]),
      'passed',
    )
  })
})
