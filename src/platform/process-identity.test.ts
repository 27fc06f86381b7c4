import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { isGoneFromThisMachine, isProvablyDead, readProcessIdentity } from './process-identity.ts'

const self = readProcessIdentity()

describe('isProvablyDead', () => {
  test('knows a process of this boot, and nothing about another one', () => {
    assert.equal(isProvablyDead(self, self), false)
    assert.equal(isProvablyDead({ ...self, startTicks: '1' }, self), true)
    assert.equal(isProvablyDead({ ...self, bootId: 'earlier', startTicks: '1' }, self), false)
    assert.equal(isProvablyDead({ ...self, pidNamespace: 'pid:[1]', startTicks: '1' }, self), false)
  })
})

describe('isGoneFromThisMachine', () => {
  test('takes another boot of the same host for an earlier one, and no other host', () => {
    assert.equal(isGoneFromThisMachine(self, self), false)
    assert.equal(isGoneFromThisMachine({ ...self, startTicks: '1' }, self), true)
    assert.equal(isGoneFromThisMachine({ ...self, bootId: 'earlier' }, self), true)
    assert.equal(isGoneFromThisMachine({ ...self, bootId: 'earlier', host: 'another' }, self), false)
    assert.equal(isGoneFromThisMachine({ ...self, pidNamespace: 'pid:[1]', startTicks: '1' }, self), false)
  })
})
