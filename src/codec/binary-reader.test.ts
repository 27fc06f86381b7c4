import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { isOperationError } from '../domain/operation-error.ts'
import { BinaryReader } from './binary-reader.ts'
import { BinaryWriter } from './binary-writer.ts'

describe('BinaryReader', () => {
  test('reads back whatever BinaryWriter wrote', () => {
    fc.assert(
      fc.property(fc.array(anyField, { maxLength: 40 }), (fields) => {
        const writer = new BinaryWriter(1)
        for (const field of fields) write(writer, field)
        const reader = new BinaryReader(writer.finish(), 'fields')

        assert.deepEqual(
          fields.map((field) => read(reader, field)),
          fields,
        )
        reader.expectEnd()
      }),
    )
  })

  test('gives bytes whose slices are copies, also out of a Buffer', () => {
    const buffer = Buffer.from('\x00abc')
    const copy = new BinaryReader(buffer.subarray(1), 'a buffer').bytes(3).slice()
    buffer.fill('x')

    assert.deepEqual(copy, Uint8Array.from([0x61, 0x62, 0x63]))
  })

  test('throws damaged for fields that are cut anywhere, and never anything else', () => {
    fc.assert(
      fc.property(fc.array(anyField, { minLength: 1, maxLength: 10 }), fc.nat(), (fields, position) => {
        const writer = new BinaryWriter()
        for (const field of fields) write(writer, field)
        const bytes = writer.finish()
        fc.pre(bytes.length > 0)
        const cut = bytes.subarray(0, position % bytes.length)

        assert.throws(
          () => {
            const reader = new BinaryReader(cut, 'fields')
            for (const field of fields) read(reader, field)
            throw new Error('read all of it')
          },
          (error) => isOperationError(error, 'damaged'),
        )
      }),
    )
  })

  test('answers arbitrary bytes with a value or with damaged', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 30 }),
        fc.array(anyField, { maxLength: 10 }),
        (bytes, fields) => {
          const reader = new BinaryReader(bytes, 'noise')
          try {
            for (const field of fields) read(reader, field)
          } catch (error) {
            assert.ok(isOperationError(error, 'damaged'), String(error))
          }
        },
      ),
    )
  })

  test('writes numbers little-endian and varints as unsigned LEB128', () => {
    const bytes = new BinaryWriter().u16(0x1234).u32(0xdeadbeef).u64(2n).varint(624_485).zigzag(-2).finish()

    assert.equal(Buffer.from(bytes).toString('hex'), '3412efbeadde0200000000000000e58e2603')
  })

  test('says what it was reading, what it expected and where', () => {
    const reader = new BinaryReader(Buffer.from([1, 2]), 'the manifest "ab12/m"')
    reader.u8()

    assert.throws(() => reader.u32(), {
      code: 'damaged',
      message: 'reading the manifest "ab12/m": expected 4 more bytes, found 1, at byte 1',
    })
  })

  test('refuses a count that the remaining bytes cannot hold', () => {
    const bytes = new BinaryWriter()
      .varint(2 ** 52)
      .bytes(Buffer.alloc(100))
      .finish()

    assert.throws(() => new BinaryReader(bytes, 'list').count(), { code: 'damaged' })
    assert.throws(
      () =>
        new BinaryReader(new BinaryWriter().varint(26).bytes(Buffer.alloc(100)).finish(), 'list').count(4),
      {
        code: 'damaged',
      },
    )
    assert.equal(
      new BinaryReader(new BinaryWriter().varint(25).bytes(Buffer.alloc(100)).finish(), 'list').count(4),
      25,
    )
  })

  test('refuses a length beyond its limit or the bytes', () => {
    const bytes = new BinaryWriter().text('twelve bytes').finish()

    assert.equal(new BinaryReader(bytes, 'text').text(12), 'twelve bytes')
    assert.throws(() => new BinaryReader(bytes, 'text').text(11), { code: 'damaged' })
    assert.throws(() => new BinaryReader(bytes.subarray(0, 12), 'text').text(), { code: 'damaged' })
  })

  test('refuses text that is not UTF-8', () => {
    const bytes = new BinaryWriter().sizedBytes(Buffer.from([0xc3, 0x28])).finish()

    assert.throws(() => new BinaryReader(bytes, 'text').text(), { code: 'damaged' })
  })

  test('refuses numbers that are too large or longer than needed', () => {
    assert.equal(varint('ffffffffffffff0f')(), Number.MAX_SAFE_INTEGER)
    assert.throws(varint('8080808080808010'), { code: 'damaged' })
    assert.throws(varint('ffffffffffffffff7f'), { code: 'damaged' })
    assert.throws(varint('8000'), { code: 'damaged' })
    assert.equal(bigVarint('ffffffffffffffffff01')(), 2n ** 64n - 1n)
    assert.throws(bigVarint('ffffffffffffffffff02'), { code: 'damaged' })
    assert.throws(bigVarint('ffffffffffffffffffff01'), { code: 'damaged' })
    assert.throws(bigVarint('8000'), { code: 'damaged' })
  })

  test('refuses what is left over when the end is expected', () => {
    assert.throws(() => new BinaryReader(Buffer.alloc(3), 'record').expectEnd(), { code: 'damaged' })
  })
})

describe('BinaryWriter', () => {
  test('gives bytes that later writes do not change', () => {
    const writer = new BinaryWriter(4).u8(1).u8(2)
    const first = writer.finish()
    writer.u8(3).bytes(Buffer.alloc(1000, 4))

    assert.deepEqual([...first], [1, 2])
    assert.equal(writer.length, 1003)
    assert.deepEqual([...writer.finish().subarray(0, 4)], [1, 2, 3, 4])
  })

  test('refuses values outside their type', () => {
    const writer = new BinaryWriter()

    assert.throws(() => writer.u8(256))
    assert.throws(() => writer.u32(-1))
    assert.throws(() => writer.varint(-1))
    assert.throws(() => writer.varint(1.5))
    assert.throws(() => writer.varint(2 ** 53))
    assert.throws(() => writer.zigzag(2 ** 52 + 1))
    assert.throws(() => writer.bigVarint(2n ** 64n))
    assert.throws(() => writer.text('\ud800'))
  })
})

const varint = (hex: string) => (): number => new BinaryReader(Buffer.from(hex, 'hex'), 'number').varint()
const bigVarint = (hex: string) => (): bigint =>
  new BinaryReader(Buffer.from(hex, 'hex'), 'number').bigVarint()

type Field =
  | { readonly kind: 'u8' | 'u16' | 'u32' | 'varint' | 'zigzag'; readonly value: number }
  | { readonly kind: 'u64' | 'bigVarint'; readonly value: bigint }
  | { readonly kind: 'text'; readonly value: string }
  | { readonly kind: 'bytes'; readonly value: Uint8Array }

const fieldOf = <Kind extends string, Value>(
  kind: Kind,
  value: fc.Arbitrary<Value>,
): fc.Arbitrary<{ readonly kind: Kind; readonly value: Value }> =>
  value.map((each) => ({ kind, value: each }))

const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })

const anyField: fc.Arbitrary<Field> = fc.oneof(
  fieldOf('u8', fc.nat(0xff)),
  fieldOf('u16', fc.nat(0xffff)),
  fieldOf('u32', fc.integer({ min: 0, max: 0xffff_ffff })),
  fieldOf('varint', fc.maxSafeNat()),
  fieldOf('varint', fc.nat(300)),
  fieldOf('zigzag', fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })),
  fieldOf('zigzag', fc.constantFrom(-(2 ** 52), 2 ** 52 - 1, -1, 0, 1)),
  fieldOf('u64', u64),
  fieldOf('bigVarint', u64),
  fieldOf('text', fc.string({ unit: 'grapheme' })),
  fieldOf('bytes', fc.uint8Array({ maxLength: 300 })),
)

function write(writer: BinaryWriter, field: Field): void {
  if (field.kind === 'bytes') writer.sizedBytes(field.value)
  else if (field.kind === 'u64' || field.kind === 'bigVarint') writer[field.kind](field.value)
  else if (field.kind === 'text') writer.text(field.value)
  else writer[field.kind](field.value as number)
}

function read(reader: BinaryReader, { kind }: Field): Field {
  if (kind === 'bytes') return { kind, value: new Uint8Array(reader.sizedBytes()) }
  if (kind === 'text') return { kind, value: reader.text() }
  if (kind === 'u64' || kind === 'bigVarint') return { kind, value: reader[kind]() }
  return { kind, value: reader[kind]() }
}
