import assert from 'node:assert/strict'
import { OperationError } from '../domain/operation-error.ts'
import { maxObjectSizeBytes, type ByteRange } from './object-store.ts'

/**
 * The part of an object of `sizeBytes` that `range` names; all of it without one. Throws `damaged` when the object ends
 * before the range does, or is larger than an object can be. `what` names the object for the message.
 */
export function resolveRange(range: ByteRange | undefined, sizeBytes: number, what: string): ByteRange {
  if (sizeBytes > maxObjectSizeBytes) {
    throw damaged(what, `at most ${maxObjectSizeBytes} bytes`, sizeBytes)
  }
  if (range === undefined) return { offset: 0, length: sizeBytes }
  const { offset, length } = range
  assert.ok(Number.isSafeInteger(offset) && offset >= 0, `${offset} is not an offset`)
  assert.ok(Number.isSafeInteger(length) && length >= 0, `${length} is not a length`)
  if (offset + length > sizeBytes) throw damaged(what, `at least ${offset + length} bytes`, sizeBytes)
  return range
}

function damaged(what: string, expected: string, foundBytes: number): OperationError {
  return new OperationError('damaged', `reading ${what}: expected ${expected}, found ${foundBytes}`, {
    hint: 'Run "holdfast verify" to learn what else is damaged and which backups need it.',
  })
}
