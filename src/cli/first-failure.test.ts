import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { firstFailure } from './first-failure.ts'

describe('firstFailure', () => {
  test('is the failure of the work when closing failed after it, twice', async () => {
    const original = new Error('the store is gone')
    const work = async (): Promise<void> => {
      await using one = closing('cannot close one')
      await using other = closing('cannot close the other')
      assert.ok(one !== other)
      throw original
    }

    assert.equal(firstFailure(await work().catch((error: unknown) => error)), original)
  })

  test('is the error itself when there is only one', () => {
    const error = new Error('alone')

    assert.equal(firstFailure(error), error)
  })
})

const closing = (message: string): AsyncDisposable => ({
  [Symbol.asyncDispose]: () => Promise.reject(new Error(message)),
})
