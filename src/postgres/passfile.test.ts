import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { isOperationError } from '../domain/operation-error.ts'
import { parseConninfo } from './conninfo.ts'
import { findPassword, readPassword } from './passfile.ts'

describe('findPassword', () => {
  test('takes the first line that matches', () => {
    const text = '# comment\nother:5432:*:*:no\nhost:5432:db:me:yes\n*:*:*:*:later\n'

    assert.equal(findPassword(text, conninfo('host=host dbname=db')), 'yes')
    assert.equal(findPassword(text, conninfo('host=host dbname=db2')), 'later')
  })

  test('undoes backslashes', () => {
    const text = String.raw`h\:1:*:a\\b:me:pa\:ss\\word:x`

    assert.equal(findPassword(text, conninfo(String.raw`host=h:1 dbname=a\\b`)), String.raw`pa:ss\word:x`)
  })

  test('takes "localhost" for the default socket directories only', () => {
    assert.equal(findPassword('localhost:*:*:*:x', conninfo('')), 'x')
    assert.equal(findPassword('localhost:*:*:*:x', conninfo('host=/elsewhere')), undefined)
  })

  test('knows a written "*" from the one that matches all', () => {
    assert.equal(findPassword(String.raw`\*:*:*:*:x`, conninfo('host=h')), undefined)
    assert.equal(findPassword(String.raw`\*:*:*:*:x*`, conninfo('host=*')), 'x*')
  })
})

describe('readPassword', () => {
  test('refuses a file that others can read', async () => {
    await withFile(0o640, async (path) => {
      await assert.rejects(readPassword(conninfo(`passfile=${path}`)), (error) =>
        isOperationError(error, 'config-invalid'),
      )
    })
  })

  test('reads a private file', async () => {
    await withFile(0o600, async (path) => {
      assert.equal(await readPassword(conninfo(`passfile=${path}`)), 'secret')
    })
  })

  test('fails when a named file is missing, but not when the default one is', async () => {
    await assert.rejects(readPassword(conninfo('passfile=/nowhere/x')), (error) =>
      isOperationError(error, 'file-unreadable'),
    )
    assert.equal(await readPassword({ ...conninfo(''), defaultPassfile: '/nowhere/x' }), undefined)
  })
})

function conninfo(text: string): ReturnType<typeof parseConninfo> {
  return parseConninfo(text, { user: 'me' })
}

async function withFile(mode: number, use: (path: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-passfile-'))
  try {
    const path = join(folder, 'pgpass')
    writeFileSync(path, '*:*:*:*:secret\n', { mode })
    await use(path)
  } finally {
    rmSync(folder, { recursive: true })
  }
}
