import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { begins, runWithTap } from '../faults/run-with-tap.ts'
import { expectOk } from '../support/holdfast.ts'
import { startProtectedCluster } from '../support/protected-cluster.ts'
import { createScratch } from '../support/scratch.ts'

describe('a backup that meets EIO when it reads a page', () => {
  test('fails, names the file, and lists nothing; it never takes zeros for it (S5)', async () => {
    await using scratch = await createScratch('eio')
    await using cluster = await startProtectedCluster(scratch)
    const { server, archive } = cluster
    await server.query("create table t as select repeat('x', 900) as filling from generate_series(1, 20000)")
    await server.query('checkpoint')
    const options = { config: archive.configFile }
    const command = { args: ['backup', '--workers', '1'], options, folder: archive.folder }
    const { result, events } = await runWithTap(command, { watches: 'reads' })
    expectOk(result)
    const reads = begins(events).filter(({ path }) => isOfRelation(path, server.dataDirectory))
    const first = reads[0]?.call ?? assert.fail('no page was read')
    const last = reads.at(-1)?.call ?? first
    const listed = await cluster.listed()

    for (const part of [0.25, 0.5, 0.75]) {
      const at = Math.round(first + part * (last - first))
      const { result: failed, struck } = await runWithTap(command, {
        watches: 'reads',
        fault: { kind: 'EIO', at },
      })

      assert.ok(
        struck !== undefined && isOfRelation(struck.path, server.dataDirectory),
        JSON.stringify(struck),
      )
      assert.equal(failed.code, 1, failed.stderr)
      const [, named, offset] =
        /error: backing up "([^"]+)": reading \d+ bytes at offset (\d+): i\/o error \(EIO\)/.exec(
          failed.stderr,
        ) ?? []
      assert.equal(named, struck.path, failed.stderr)
      assert.equal(Number(offset) % 8192, 0, failed.stderr)
      assert.deepEqual(await cluster.listed(), listed)
    }
  })
})

const isOfRelation = (path: string, dataDirectory: string): boolean =>
  path.startsWith(`${dataDirectory}/base/`) && /\/\d+(?:_fsm|_vm)?$/.test(path)
