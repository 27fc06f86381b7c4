import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'

test('of many restores that take over from a dead one at once, one has the directory, however slow its disk is (R47)', () => {
  const program = join(import.meta.dirname, 'support', 'claim-many-times.ts')

  const { stdout, stderr } = spawnSync(process.execPath, [program], { encoding: 'utf8' })

  const winners = stdout.trim().split('\n')
  assert.equal(stderr, '')
  assert.ok(winners.length > 10)
  assert.deepEqual([...new Set(winners)], ['1'])
})
