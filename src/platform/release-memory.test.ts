import assert from 'node:assert/strict'
import { createCipheriv } from 'node:crypto'
import { describe, test } from 'node:test'
import { zstdCompressSync } from 'node:zlib'
import { releaseMemory } from './release-memory.ts'

describe('releaseMemory', () => {
  test('empties what zlib and crypto gave, however little of its memory it uses', () => {
    const compressed = zstdCompressSync(new Uint8Array(1_000_000), { chunkSize: 1_100_000 })
    const sealed = createCipheriv('aes-256-gcm', Buffer.alloc(32), Buffer.alloc(12)).update(
      Buffer.alloc(100_000),
    )

    for (const result of [compressed, sealed]) {
      releaseMemory(result)
      assert.equal(result.length, 0)
    }
  })

  test('leaves alone what shares its memory with others', () => {
    const [one, other] = [Buffer.from('one'), Buffer.from('other')]
    const shared = new Uint8Array(new SharedArrayBuffer(100_000))

    releaseMemory(one)
    releaseMemory(shared)

    assert.equal(String(one) + String(other), 'oneother')
    assert.equal(shared.length, 100_000)
  })

  test('takes what was released before', () => {
    const bytes = new Uint8Array(100_000)
    releaseMemory(bytes)
    releaseMemory(bytes)

    assert.equal(bytes.length, 0)
  })
})
