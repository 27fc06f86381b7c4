import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { pgRestoreArguments, psqlArguments, wholeDump } from './load-selection.ts'

describe('pgRestoreArguments', () => {
  test('loads in one transaction, and takes a name of a database for nothing else', () => {
    assert.deepEqual(pgRestoreArguments(wholeDump, "postgresql://x/it's\\"), [
      String.raw`--dbname=dbname='postgresql://x/it\'s\\'`,
      '--no-password',
      '--exit-on-error',
      '--single-transaction',
    ])
    assert.ok(psqlArguments('a=b').includes(`--dbname=dbname='a=b'`))
  })

  test('names everything that was asked for', () => {
    const selection = {
      ...wholeDump,
      tables: ['a b'],
      schemas: ['s'],
      content: 'data-only',
      section: 'data',
      hasNoOwner: true,
      hasNoPrivileges: true,
      isClean: true,
    } as const

    assert.deepEqual(pgRestoreArguments(selection, 'd').slice(4), [
      '--table=a b',
      '--schema=s',
      '--strict-names',
      '--data-only',
      '--section=data',
      '--no-owner',
      '--no-privileges',
      '--clean',
      '--if-exists',
    ])
  })
})
