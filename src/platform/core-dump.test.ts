import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { describe, test } from 'node:test'

describe('keepMemoryOutOfCoreDumps', () => {
  test('holds for us and for children of ours', () => {
    const found = evaluate(`
      keepMemoryOutOfCoreDumps()
      console.log(filterOf('self'), spawnSync('/bin/cat', ['/proc/self/coredump_filter'], { encoding: 'utf8' }).stdout)`)

    assert.equal(found, '00000000 00000000')
  })
})

describe('allowCoreDumpsOf', () => {
  for (const [before, after] of [
    ['0', '00000033'],
    ['0x11', '00000011'],
  ] as const) {
    test(`gives a child of a process with the filter ${before} the filter ${after}`, () => {
      const found = evaluate(`
        writeFileSync('/proc/self/coredump_filter', '${before}')
        const server = spawn('/bin/sleep', ['60'])
        allowCoreDumpsOf(server.pid)
        console.log(filterOf(server.pid))
        server.kill('SIGKILL')`)

      assert.equal(found, after)
    })
  }

  test('does nothing about a process that is gone', () => {
    assert.equal(evaluate(`keepMemoryOutOfCoreDumps(); allowCoreDumpsOf(2 ** 22 + 1)`), '')
  })
})

/** In a process of its own: the setting is for good. */
function evaluate(script: string): string {
  const source = `
    import { readFileSync, writeFileSync } from 'node:fs'
    import { spawn, spawnSync } from 'node:child_process'
    import { allowCoreDumpsOf, keepMemoryOutOfCoreDumps } from '${join(import.meta.dirname, 'core-dump.ts')}'
    const filterOf = (pid) => readFileSync('/proc/' + pid + '/coredump_filter', 'utf8').trim()
    ${script}`
  const node = [process.execPath, '--input-type=module', '-e', source] as const
  const { stdout, stderr } = spawnSync(node[0], node.slice(1), { encoding: 'utf8' })
  assert.equal(stderr, '')
  return stdout.trim()
}
