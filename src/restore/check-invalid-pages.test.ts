import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { temporaryFolder } from '../../test/support/archive-fixture.ts'
import { parseRelationPath } from '../postgres/page-layout.ts'
import { findForeignInvalidPage } from './check-invalid-pages.ts'
import { relationFileKey } from './leave-out.ts'

describe('findForeignInvalidPage', () => {
  test('finds nothing where all pages are of files that were left out', async () => {
    assert.equal(
      await find(
        'LOG:  redo starts at 0/3000028',
        'WARNING:  page 7 of relation base/5/16400 is uninitialized',
        'WARNING:  WAL contains references to invalid pages',
        'WARNING:  page 131072 of relation base/5/16400 does not exist',
        'WARNING:  page 0 of relation base/5/16400_vm is uninitialized',
        'WARNING:  page 3 of relation pg_tblspc/16390/PG_18_202506291/5/16401 is uninitialized',
      ),
      undefined,
    )
  })

  for (const page of [
    'page 262144 of relation base/5/16400 does not exist',
    'page 7 of relation base/6/16400 is uninitialized',
    'page 7 of relation base/5/16400_fsm is uninitialized',
    'page 7 of relation pg_tblspc/16391/PG_18_202506291/5/16401 is uninitialized',
    'page 1 of relation global/1260 is uninitialized',
  ]) {
    test(`finds "${page}"`, async () => {
      assert.equal(await find(`WARNING:  ${page}`), page)
    })
  }

  test('finds what it does not understand', async () => {
    const line = 'WARNING:  invalid page in block 3 of relation base/5/16400; zeroing out page'
    assert.equal(await find(line), prefix + line)
  })

  test('fails when there is no log', async () => {
    await using folder = await temporaryFolder()

    await assert.rejects(findForeignInvalidPage(join(folder.path, 'log'), leftOut), {
      code: 'file-unreadable',
    })
  })
})

const prefix = '2026-11-29 10:45:03.184 UTC [14272] '

const paths = ['base/5/16400', 'base/5/16400.1', 'base/5/16400_vm', 'pg_tblspc/16390/PG_18_202506291/5/16401']
const leftOut = {
  files: new Set(
    paths.map((path) => {
      const file = parseRelationPath(path)
      return file === undefined ? assert.fail(path) : relationFileKey(file)
    }),
  ),
  relations: new Set([16400, 16401]),
  bytes: 1,
}

async function find(...lines: readonly string[]): Promise<string | undefined> {
  await using folder = await temporaryFolder()
  const logFile = join(folder.path, 'log')
  await writeFile(logFile, lines.map((line) => `${prefix}${line}\n`).join(''))
  return await findForeignInvalidPage(logFile, leftOut)
}
