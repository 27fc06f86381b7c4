import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { commandWord, valueOf, wantsJson } from './read-ahead.ts'

describe('commandWord', () => {
  test('passes over global options and their values', () => {
    assert.equal(commandWord(['--config', 'backup', '--no-color', '--output=json', 'info', 'x']), 'info')
    assert.equal(commandWord(['backup', '--type', 'full']), 'backup')
    assert.equal(commandWord(['--help']), undefined)
    assert.equal(commandWord(['--config']), undefined)
    assert.equal(commandWord([]), undefined)
  })
})

describe('valueOf', () => {
  test('finds both spellings, the last one, and nothing behind --', () => {
    assert.equal(valueOf(['--mode', 'a', '--mode=b'], '--mode'), 'b')
    assert.equal(valueOf(['--mode=b', '--mode', 'a'], '--mode'), 'a')
    assert.equal(valueOf(['at', '--', '--mode', 'a'], '--mode'), undefined)
    assert.equal(valueOf(['--mode'], '--mode'), undefined)
  })
})

describe('wantsJson', () => {
  test('is known even when the rest of the arguments is wrong', () => {
    assert.ok(wantsJson(['nonsense', '--output', 'json']))
    assert.ok(!wantsJson(['--output', 'text']))
  })
})
