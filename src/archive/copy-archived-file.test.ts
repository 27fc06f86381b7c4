import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { buildSegment, createPlace, recordingContext } from '../../test/support/archive-fixture.ts'
import { archiveContent, contentsOf, fetchContent } from '../../test/support/archived-content.ts'
import { FaultyStore } from '../../test/support/faulty-store.ts'
import { parseArchiveFileName } from '../domain/archive-file-name.ts'
import { systemClock } from '../platform/system-clock.ts'
import { MemoryStore } from '../storage/memory/memory-store.ts'
import { copyArchivedFile } from './copy-archived-file.ts'
import { readWalIndex } from './stored-wal-index.ts'

const segment = '000000010000000000000003'

describe('copyArchivedFile', () => {
  test('gives the same bytes back out of the other repository, with a digest of its own', async () => {
    const files = {
      [segment]: buildSegment(segment),
      [`${segment}.00000028.backup`]: Buffer.from(`START WAL LOCATION: 0/300028 (file ${segment})\n`),
      '00000002.history': Buffer.from('1\t0/500000\treason\n'),
    }
    for (const [from, to] of [
      [await createPlace(), await createPlace()],
      [await createPlace(), await createPlace({ isSealed: false })],
      [await createPlace({ isSealed: false }), await createPlace()],
    ] as const) {
      for (const [name, content] of Object.entries(files)) {
        const digest = await archiveContent(from, name, content)
        const object = { name: parseArchiveFileName(name), digest, part: 0 }

        assert.equal(await copyArchivedFile(object, { from, to }, recordingContext()), content.length)
        await copyArchivedFile(object, { from, to }, recordingContext()) // right to repeat

        assert.ok(content.equals(await fetchContent(to, name)))
        const [copied, ...others] = await contentsOf(to, name)
        assert.notEqual(copied, digest)
        assert.deepEqual(others, [])
      }
    }
  })

  test('makes an index of a segment, as archive-push does', async () => {
    const [from, to] = [await createPlace(), await createPlace()]
    const name = parseArchiveFileName(segment)
    const digest = await archiveContent(from, segment, buildSegment(segment))

    await copyArchivedFile({ name, digest, part: 0 }, { from, to }, recordingContext())

    const [copied = ''] = await contentsOf(to, segment)
    const [index, other] = [
      await readWalIndex({ name, digest }, from, recordingContext()),
      await readWalIndex({ name, digest: copied }, to, recordingContext()),
    ]
    assert.equal(other?.startLsn, 0x300000n)
    assert.deepEqual(other.facts.control, index?.facts.control)
  })

  test('stores nothing of a file that is damaged', async () => {
    const store = new FaultyStore(new MemoryStore('x', systemClock))
    const [from, to] = [await createPlace({ store }), await createPlace()]
    for (const [name, content] of [
      [segment, buildSegment(segment)],
      ['00000002.history', Buffer.from('1\t0/500000\treason\n')],
    ] as const) {
      const digest = await archiveContent(from, name, content)
      store.plan({ kind: 'flip-bit', bitIndex: 400, at: { operation: 'get', subject: '/wal/' } })
      const object = { name: parseArchiveFileName(name), digest, part: 0 }

      await assert.rejects(copyArchivedFile(object, { from, to }, recordingContext()), { code: 'damaged' })

      assert.deepEqual(await contentsOf(to, name), [])
      store.heal()
    }
  })
})
