import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { OperationError } from '../domain/operation-error.ts'
import { anyMutation, readsOrRefuses } from '../../test/support/repository-samples.ts'
import { encodeRecord, RecordReader } from './record.ts'

const read = (record: object): RecordReader => RecordReader.decode(encodeRecord(record), 'the record')
const readText = (text: string): RecordReader => RecordReader.decode(Buffer.from(text), 'the record')

const refuse = (): never => {
  throw new OperationError('usage', 'no')
}

/** Reads everything that a record of ours may have, whether or not it is there. */
function readAll(reader: RecordReader): void {
  for (const name of ['text', 'number', 'flag', 'list', 'inner', '__proto__', 'constructor']) {
    for (const readField of [
      () => reader.string(name),
      () => reader.optionalString(name),
      () => reader.count(name),
      () => reader.boolean(name),
      () => reader.word(name, ['full', 'incr']),
      () => reader.record(name),
      () => reader.records(name),
      () => reader.parsed(name, BigInt),
      () => reader.parsedCount(name, assert.ok),
    ]) {
      readsOrRefuses(readField)
    }
  }
}

const anyFields = fc.record({
  text: fc.string({ unit: 'binary' }),
  number: fc.maxSafeNat(),
  flag: fc.boolean(),
  list: fc.array(fc.nat()),
})

describe('a control record', () => {
  test('gives its fields back as they were written', () => {
    fc.assert(
      fc.property(anyFields, ({ text, number, flag, list }) => {
        const reader = read({
          text,
          number,
          flag,
          list: list.map((member) => ({ member })),
          inner: { text },
        })

        assert.equal(reader.string('text'), text)
        assert.equal(reader.count('number'), number)
        assert.equal(reader.boolean('flag'), flag)
        assert.deepEqual(
          reader.records('list').map((member) => member.count('member')),
          list,
        )
        assert.equal(reader.record('inner').optionalString('text'), text)
      }),
    )
  })

  test('may have fields that this version does not know', () => {
    const reader = read({ text: 'known', later: { nested: [1, 2] } })

    assert.equal(reader.string('text'), 'known')
    assert.equal(reader.optionalString('absent'), undefined)
    assert.equal(reader.has('absent'), false)
  })

  test('is damaged when a field is missing or of another type, and says which', () => {
    const reader = read({ text: 1, number: '1', flag: 0, list: {}, inner: [], member: [1] })

    for (const readField of [
      () => reader.string('text'),
      () => reader.string('absent'),
      () => reader.optionalString('text'),
      () => reader.count('number'),
      () => reader.boolean('flag'),
      () => reader.records('list'),
      () => reader.record('inner'),
      () => reader.record('absent'),
      () => reader.records('member'),
      () => reader.word('text', ['full']),
    ]) {
      assert.throws(readField, { code: 'damaged', message: /^reading the record[,:]/ })
    }
    assert.throws(() => reader.count('number'), {
      message: 'reading the record: expected "number" to be a count',
    })
  })

  test('is damaged when a count is negative, broken, not exact or no number at all', () => {
    for (const number of ['-1', '0.5', '9007199254740993', '1e300', 'null', '"1"', '[1]', '{}', 'true']) {
      assert.throws(() => readText(`{"number":${number}}`).count('number'), { code: 'damaged' }, number)
    }
    assert.equal(readText('{"number":9007199254740991}').count('number'), Number.MAX_SAFE_INTEGER)
  })

  test('is damaged when a parser of the domain refuses a field, and keeps the reason', () => {
    const reader = read({ text: 'x', number: 3 })

    for (const readField of [
      () => reader.parsed('text', refuse),
      () => reader.parsedCount('number', refuse),
    ]) {
      assert.throws(readField, (error) => {
        assert.ok(error instanceof OperationError && error.code === 'damaged')
        assert.ok(error.cause instanceof OperationError && error.cause.code === 'usage')
        return true
      })
    }
  })

  test('is damaged when it is no JSON, no object or no UTF-8', () => {
    for (const text of ['', '{', '[]', 'null', '1', '"x"', '{}{}', '\0']) {
      assert.throws(() => readText(text), {
        code: 'damaged',
        message: 'reading the record: it is not a record',
      })
    }
    assert.throws(() => RecordReader.decode(Buffer.from('7b22ff223a317d', 'hex'), 'the record'), {
      code: 'damaged',
    })
  })

  test('of a million nested lists is read or refused like any other', () => {
    const depth = 1_000_000

    readsOrRefuses(() => readText(`{"list":${'['.repeat(depth)}${']'.repeat(depth)}}`).records('list'))
    readsOrRefuses(() => readText('['.repeat(depth)))
  })

  test('answers arbitrary and changed bytes with a value or with damaged (X1)', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array(),
          fc.json().map((text) => Buffer.from(text)),
        ),
        (bytes) =>
          readsOrRefuses(() => {
            readAll(RecordReader.decode(bytes, 'the record'))
          }),
      ),
    )
    const record = encodeRecord({ text: 'full', number: 7, flag: true, list: [{ a: 1 }], inner: { b: '2' } })
    fc.assert(
      fc.property(anyMutation, (mutate) =>
        readsOrRefuses(() => {
          readAll(RecordReader.decode(mutate(record), 'the record'))
        }),
      ),
    )
  })
})
