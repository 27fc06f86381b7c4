import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { describePart, pgDumpArguments, wholeDatabase } from './dump-selection.ts'

describe('pgDumpArguments', () => {
  test('names everything, keeps what looks like an option from being one, and lets no pattern match nothing', () => {
    const selection = {
      ...wholeDatabase,
      tables: ['--file=/etc/passwd', 'a b'],
      excludeTables: ['log_*'],
      excludeTableData: ['audit'],
      schemas: ['s'],
      excludeSchemas: ['t'],
      content: 'schema-only',
    } as const

    assert.deepEqual(pgDumpArguments(selection, { snapshot: '00000003-0000001B-1' }), [
      '--format=custom',
      '--compress=0',
      '--no-password',
      '--snapshot=00000003-0000001B-1',
      '--table=--file=/etc/passwd',
      '--table=a b',
      '--exclude-table=log_*',
      '--exclude-table-data=audit',
      '--schema=s',
      '--exclude-schema=t',
      '--schema-only',
      '--strict-names',
    ])
  })

  test('has several processes write a directory', () => {
    const selection = { ...wholeDatabase, format: 'directory' } as const
    const args = pgDumpArguments(selection, { snapshot: 'x', directory: { path: '/spool/dump', jobs: 3 } })

    assert.ok(['--format=directory', '--file=/spool/dump', '--jobs=3'].every((arg) => args.includes(arg)))
  })

  test('has pg_dump compress when it can', () => {
    assert.ok(pgDumpArguments(wholeDatabase, { snapshot: 'x', zstdLevel: 3 }).includes('--compress=zstd:3'))
  })

  test('does not ask for strict names where none is asked for', () => {
    assert.ok(!pgDumpArguments(wholeDatabase, { snapshot: 'x' }).includes('--strict-names'))
  })
})

describe('describePart', () => {
  test('gives one text for one part, and tells the whole from every part', () => {
    assert.equal(describePart({ ...wholeDatabase, format: 'plain' }), 'everything')
    const part = { ...wholeDatabase, tables: ['b', 'a'], content: 'data-only' } as const
    assert.equal(describePart(part), '--data-only --table=a --table=b')
    assert.equal(describePart({ ...part, tables: ['a', 'b'] }), describePart(part))
  })
})
