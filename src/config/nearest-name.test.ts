import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { nearestName } from './nearest-name.ts'

describe('nearestName', () => {
  const known = ['connection', 'passfile', 'data-directory', 'repos']

  test('finds a key with a letter missing, doubled, changed or swapped', () => {
    assert.equal(nearestName('conection', known), 'connection')
    assert.equal(nearestName('passsfile', known), 'passfile')
    assert.equal(nearestName('rapos', known), 'repos')
    assert.equal(nearestName('erpos', known), 'repos')
  })

  test('takes an underscore for a hyphen and ignores case', () => {
    assert.equal(nearestName('Data_Directory', known), 'data-directory')
  })

  test('stays silent when nothing is near', () => {
    assert.equal(nearestName('retention', known), undefined)
    assert.equal(nearestName('', known), undefined)
    assert.equal(nearestName('x'.repeat(100_000), known), undefined)
  })
})
