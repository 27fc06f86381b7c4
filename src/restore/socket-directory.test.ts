import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { systemClock } from '../platform/system-clock.ts'
import { removeStaleSocketDirectories } from './socket-directory.ts'

describe('removeStaleSocketDirectories', () => {
  test('removes what killed restores left a day ago, and nothing that may be in use', async () => {
    const parent = mkdtempSync(join(tmpdir(), 'hf-sockets-'))
    const make = (name: string, files: readonly string[], ageHours: number): void => {
      mkdirSync(join(parent, name))
      for (const file of files) writeFileSync(join(parent, name, file), '')
      const time = Date.now() / 1000 - ageHours * 3600
      utimesSync(join(parent, name), time, time)
    }
    make('holdfast-aaaaa1', [], 25)
    make('holdfast-aaaaa2', ['hba.conf', 'ident.conf'], 25)
    make('holdfast-young1', [], 23)
    make('holdfast-server', ['hba.conf', '.s.PGSQL.5432.lock'], 25)
    make('holdfast-another-name', [], 25)

    const context = { signal: new AbortController().signal, clock: systemClock, report: () => undefined }
    await removeStaleSocketDirectories(parent, context)

    const left = readdirSync(parent).toSorted()
    rmSync(parent, { recursive: true })
    assert.deepEqual(left, ['holdfast-another-name', 'holdfast-server', 'holdfast-young1'])
  })
})
