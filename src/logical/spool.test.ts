import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { recordingContext } from '../../test/support/archive-fixture.ts'
import { isOperationError } from '../domain/operation-error.ts'
import { makeSpool, requireSpoolRoom } from './spool.ts'

describe('a spool', () => {
  test('may hold half of what is free, and is gone when it is disposed of', async () => {
    const parent = await mkdtemp(join(tmpdir(), 'hf-spool-'))
    try {
      {
        await using spool = await makeSpool(parent, recordingContext())
        requireSpoolRoom(spool, spool.mostBytes)
        assert.throws(
          () => requireSpoolRoom(spool, spool.mostBytes + 1),
          (error) => isOperationError(error, 'no-space') && error.message.includes(spool.path),
        )
        assert.equal((await readdir(parent)).length, 1)
      }
      assert.deepEqual(await readdir(parent), [])
    } finally {
      await rm(parent, { recursive: true })
    }
  })
})
