import assert from 'node:assert/strict'
import { PassThrough, Readable } from 'node:stream'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { gather } from './gather.ts'

const sizes = [1, 70_000, 65_536, 300_000, 3, 1_000_000, 0, 262_144]

/** Each piece in memory of its own: reading gives it back. */
function pieces(): readonly Buffer[] {
  return sizes.map((size, index) => Buffer.alloc(size, index + 1))
}

describe('gather', () => {
  test('gives all bytes in their order, however slow whoever reads is', async () => {
    const expected = Buffer.concat(pieces())
    for (const pauseMs of [0, 5]) {
      const found: Buffer[] = []
      for await (const piece of gather(Readable.from(pieces(), { objectMode: false }))) {
        if (pauseMs > 0) await sleep(pauseMs)
        found.push(Buffer.from(piece))
      }
      assert.ok(Buffer.concat(found).equals(expected))
    }
  })

  test('takes no more than there is room for while nobody reads', async () => {
    const stream = new PassThrough({ highWaterMark: 65_536 })
    const reading = gather(stream)
    const first = reading.next()
    stream.write(Buffer.alloc(10))
    await first
    let taken = 0
    while (taken < 100 && stream.write(Buffer.alloc(65_536))) {
      taken += 1
      await sleep(1)
    }

    assert.ok(taken > 1 && taken < 10, `${taken} pieces of 64 KiB`)
    await reading.return()
    assert.ok(stream.destroyed)
  })

  test('fails as the stream does, after what came before', async () => {
    const stream = new PassThrough()
    stream.write('some')
    const reading = gather(stream)
    assert.equal(String((await reading.next()).value), 'some')
    stream.destroy(new Error('the pipe broke'))

    await assert.rejects(reading.next(), /the pipe broke/)
  })

  test('does not take the end of a stream that was torn down for its end', async () => {
    const stream = new PassThrough()
    const reading = gather(stream)
    const next = reading.next()
    stream.destroy()

    await assert.rejects(next, { code: 'ERR_STREAM_PREMATURE_CLOSE' })
  })
})
