import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { allocatePages, beginAtPage } from './page-memory.ts'

describe('allocatePages', () => {
  test('gives zeros, at least as many as were asked for', () => {
    for (const size of [1, 65_536, 65_537]) {
      const bytes = new Uint8Array(allocatePages(size))
      assert.ok(bytes.length >= size && bytes.every((byte) => byte === 0))
    }
  })
})

describe('beginAtPage', () => {
  test('is sure only of the pages of that memory', () => {
    const memory = allocatePages(8192)

    assert.ok(beginAtPage(new Uint8Array(memory)))
    assert.ok(beginAtPage(new Uint8Array(memory, 4096, 1)))
    assert.ok(!beginAtPage(new Uint8Array(memory, 512)))
    assert.ok(!beginAtPage(new Uint8Array(new SharedArrayBuffer(8192))))
    assert.ok(!beginAtPage(new Uint8Array(8192)))
  })
})
