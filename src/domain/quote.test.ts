import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { quote } from './quote.ts'

describe('quote', () => {
  test('puts text into double quotes', () => {
    assert.equal(quote('a "b"\n'), String.raw`"a \"b\"\n"`)
    assert.equal(quote('Größe'), '"Größe"')
  })

  test('shows no control character and no change of direction', () => {
    assert.equal(quote('\u001b[2J\u009b\u202e'), String.raw`"\u001b[2J\u{9b}\u{202e}"`)
  })

  test('stays printable and short for any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
        const shown = quote(text)

        assert.ok(shown.length < 1000 && !/\p{C}/u.test(shown))
      }),
    )
  })
})
