import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { DumpEnds } from './dump-ends.ts'

describe('DumpEnds', () => {
  test('knows an archive by its beginning, however it comes', () => {
    const [whole, other] = [new DumpEnds('custom'), new DumpEnds('custom')]
    for (const byte of 'PGDMP and more') whole.add(Buffer.from(byte))
    other.add(Buffer.from('--\n-- PostgreSQL database dump\n'))

    assert.equal(whole.fault(), undefined)
    assert.match(other.fault() ?? '', /does not begin/)
    assert.match(new DumpEnds('custom').fault() ?? '', /does not begin/)
  })

  test('knows text by its end, also with what newer minors write behind it (P11)', () => {
    const trailer = '--\n-- PostgreSQL database dump complete\n--\n\n'
    for (const [text, isWhole] of [
      [`CREATE TABLE t ();\n${'x'.repeat(5000)}\n${trailer}`, true],
      [`${trailer}\\unrestrict ${'k'.repeat(60)}\n\n`, true],
      ['--\n-- PostgreSQL database cluster dump complete\n--\n\n', true],
      [`${trailer}${'x'.repeat(2000)}`, false],
      ['CREATE TABLE t ();\n', false],
    ] as const) {
      const ends = new DumpEnds('plain')
      for (let at = 0; at < text.length; at += 7) ends.add(Buffer.from(text.slice(at, at + 7)))
      assert.equal(ends.fault() === undefined, isWhole, text.slice(-60))
    }
  })
})
