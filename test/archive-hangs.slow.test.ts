import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { runProcess } from '../src/platform/child-process.ts'
import { createArchiveStage, segmentName, type ArchiveStage } from './support/archive-stage.ts'
import { expectOk, type HoldfastResult } from './support/holdfast.ts'
import { createScratch } from './support/scratch.ts'

const tap = pathToFileURL(join(import.meta.dirname, 'support', 'hang-file-system.ts')).href

describe('a call of the file system that never comes back', () => {
  test('ends archive-push when its time is up, with 1 and one error (R22)', async () => {
    await using scratch = await createScratch('hangs')
    const stage = await createArchiveStage(scratch)
    await stage.configure(['first'], ['archive:', '  push-timeout: 2s'])

    const { result, seconds } = await hanging(stage, { call: 'sync' }, [
      'archive-push',
      `pg_wal/${segmentName(3)}`,
    ])

    assert.equal(result.code, 1, result.stderr)
    assert.match(result.stderr, /^error: archiving a file took longer than 2000 ms\nhint: .*\n$/)
    assert.ok(seconds < 10, `it took ${seconds} s`)
  })

  test('does not keep archive-push from saying that the file it was asked for is archived (R22)', async () => {
    await using scratch = await createScratch('hangs')
    const stage = await createArchiveStage(scratch)

    const args = ['archive-push', '--ahead', `pg_wal/${segmentName(3)}`]
    const { result, seconds } = await hanging(stage, { call: 'link', after: 1 }, args)

    expectOk(result)
    assert.match(result.stderr, /^warning: archiving ahead .* longer than 20000 ms\nhint: .*\n$/)
    assert.ok(seconds < 30, `it took ${seconds} s`)
    assert.deepEqual(await readdir(join(stage.dataDirectory, 'pg_wal', 'holdfast-ack')), ['.repositories'])
  })

  for (const [mode, code] of [
    ['recovery', 126],
    ['standby', 1],
  ] as const) {
    test(`ends archive-get in ${mode} with ${code} and one error, and is no proof of absence (M1, M2)`, async () => {
      await using scratch = await createScratch('hangs')
      const stage = await createArchiveStage(scratch)
      expectOk(await stage.run(['archive-push', `pg_wal/${segmentName(3)}`]))

      const args = ['archive-get', '--mode', mode, segmentName(9), join(stage.folder, 'out')]
      const { result, seconds } = await hanging(stage, { call: 'readdir' }, args)

      assert.equal(result.code, code, result.stderr)
      assert.match(result.stderr, /^error: .*no answer within 15000 ms\nhint: .*\n$/)
      assert.ok(seconds < 25, `it took ${seconds} s`)
    })
  }
})

async function hanging(
  stage: ArchiveStage,
  { call, after = 0 }: { readonly call: string; readonly after?: number },
  args: readonly string[],
): Promise<{ readonly result: HoldfastResult; readonly seconds: number }> {
  const pipe = join(stage.folder, 'pipe')
  await runProcess('/bin/sh', ['-c', 'mkfifo -m 666 "$0"', pipe])
  const env = {
    NODE_OPTIONS: `--import=${tap}`,
    HANGING_CALL: call,
    HANGING_AFTER: String(after),
    HANGING_PIPE: pipe,
  }
  const began = performance.now()
  const result = await stage.run(args, { env, timeoutMs: 60_000 })
  return { result, seconds: (performance.now() - began) / 1000 }
}
