import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { fatalLinesOf, readLogTail } from './server-log.ts'

describe('fatalLinesOf', () => {
  test('keeps the reasons with their details and drops refused connections', () => {
    const log = [
      '2026-01-01 00:00:00.000 UTC [7] LOG:  starting PostgreSQL',
      '2026-01-01 00:00:00.000 UTC [8] FATAL:  the database system is starting up',
      '2026-01-01 00:00:01.000 UTC [9] FATAL:  recovery aborted because of insufficient parameter settings',
      '2026-01-01 00:00:01.000 UTC [9] DETAIL:  max_connections = 1 is a lower setting than on the primary.',
      '2026-01-01 00:00:01.000 UTC [9] HINT:  You can restart the server.',
      '2026-01-01 00:00:01.000 UTC [7] LOG:  startup process exited',
      '2026-01-01 00:00:01.000 UTC [7] HINT:  of a LOG line',
    ].join('\n')

    assert.deepEqual(fatalLinesOf(log), [
      'recovery aborted because of insufficient parameter settings (max_connections = 1 is a lower setting than on the primary.) (You can restart the server.)',
    ])
  })
})

describe('readLogTail', () => {
  test('gives the end of a long log from a whole line on', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-log-'))
    try {
      const path = join(folder, 'log')
      writeFileSync(path, `${'x'.repeat(99)}\n`.repeat(2000))

      const tail = await readLogTail(path)

      assert.ok(tail.length <= 64 * 1024 && tail.length > 60 * 1024)
      assert.match(tail, /^x{99}\n/)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})
