import assert from 'node:assert/strict'
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { findStateDirectories } from './state-directory.ts'

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'hf-state-'))
  try {
    await body(folder)
  } finally {
    await rm(folder, { recursive: true })
  }
}

describe('the state directory', () => {
  test('is the configured one, else the shared one, else one of the user', () =>
    inFolder(async (home) => {
      const shared = join(home, 'shared')
      const surroundings = { variables: { XDG_STATE_HOME: '/srv/state' }, home, shared }
      const find = (configured?: string, changes = {}): Promise<readonly string[]> =>
        findStateDirectories(configured, { ...surroundings, ...changes })

      assert.deepEqual(await find('/configured'), ['/configured'])
      assert.deepEqual(await find(), ['/srv/state/holdfast'])
      assert.deepEqual(await find(undefined, { variables: {} }), [join(home, '.local/state/holdfast')])
      assert.deepEqual(await find(undefined, { variables: {}, home: undefined }), [])
      await mkdir(shared)
      assert.deepEqual(await find(), [shared, '/srv/state/holdfast'])
    }))

  test('is never in a home that others may write to (RULES 4.2)', () =>
    inFolder(async (home) => {
      await chmod(home, 0o777)

      const surroundings = { variables: {}, home, shared: '/nowhere' }
      assert.deepEqual(await findStateDirectories(undefined, surroundings), [])
    }))
})
