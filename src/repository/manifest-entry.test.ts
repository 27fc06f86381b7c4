import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { BinaryReader } from '../codec/binary-reader.ts'
import { BinaryWriter } from '../codec/binary-writer.ts'
import {
  anyEntry,
  anyMutation,
  bytesOf,
  comparable,
  inOrder,
  readsOrRefuses,
  sampleFile,
} from '../../test/support/repository-samples.ts'
import {
  decodeEntry,
  encodeEntry,
  newEntryContext,
  type Extent,
  type ManifestEntry,
} from './manifest-entry.ts'

function encodeAll(entries: readonly ManifestEntry[]): Uint8Array {
  const writer = new BinaryWriter()
  const context = newEntryContext()
  for (const entry of entries) encodeEntry(writer, entry, context)
  return writer.finish()
}

function decodeAll(bytes: Uint8Array): readonly ManifestEntry[] {
  const reader = new BinaryReader(bytes, 'entries')
  const context = newEntryContext()
  const entries: ManifestEntry[] = []
  while (reader.remaining > 0) entries.push(decodeEntry(reader, context))
  return entries
}

/** A file entry up to its number of damaged blocks. */
const begun = (sizeBytes: number): BinaryWriter =>
  new BinaryWriter()
    .u8(1)
    .varint(0)
    .varint(0)
    .varint(1)
    .bytes(bytesOf('f'))
    .varint(0)
    .varint(0o600)
    .varint(sizeBytes)
    .varint(0)

const mebibyte = 1024 * 1024
const unitExtent = (changes: { length?: number; pack?: number; unit?: number; offset?: number }): Extent => {
  const { length = 8192, ...place } = changes
  return { length, source: { kind: 'unit', pack: 0, unit: 0, offset: 0, ...place } }
}

const nextFile = (number: number): ManifestEntry =>
  sampleFile(`base/16384/${16_000 + number}`, {
    extents: [unitExtent({ pack: 3, unit: number, offset: 0 })],
  })

/** A file of extents whose pack and unit numbers are these steps from the one before. */
const steps = (pack: readonly number[], unit: readonly number[]): Uint8Array => {
  const writer = begun(pack.length).varint(0).varint(pack.length)
  for (const [index, step] of pack.entries())
    writer
      .varint(1)
      .varint(1 + step)
      .varint(unit[index] ?? 0)
      .varint(0)
  return writer.finish()
}

/** A file `ab`, then a directory that says how much of that path it shares. */
const shared = (count: number): Uint8Array =>
  Buffer.concat([encodeAll([sampleFile('ab')]), new BinaryWriter().u8(0).varint(0).varint(count).finish()])

describe('manifest entries', () => {
  test('read back as they were written', () => {
    fc.assert(
      fc.property(fc.array(anyEntry, { maxLength: 12 }), (entries) => {
        const ordered = inOrder(entries)

        assert.deepEqual(comparable(decodeAll(encodeAll(ordered))), comparable(ordered))
      }),
    )
  })

  test('read back with the largest numbers that there are', () => {
    const entries = [
      sampleFile('a', {
        root: 2 ** 32 - 1,
        owner: 2 ** 31,
        sizeBytes: 2 ** 53 - 1,
        modifiedAtMs: 2 ** 53 - 1,
        damagedBlocks: [0, 2 ** 40, 2 ** 53 - 1],
        extents: [
          unitExtent({ length: 1, pack: 2 ** 51, unit: 2 ** 51, offset: mebibyte - 1 }),
          unitExtent({ length: 1 }),
          { length: 2 ** 53 - 3, source: { kind: 'zeros' } },
        ],
      }),
    ]

    assert.deepEqual(comparable(decodeAll(encodeAll(entries))), comparable(entries))
  })

  test('take few bytes when they follow each other', () => {
    const [some, more] = [100, 101].map((count) =>
      encodeAll(Array.from({ length: count }, (_, at) => nextFile(at))),
    )

    assert.equal((more?.length ?? 0) - (some?.length ?? 0), 25)
  })

  test('lose no time before 1970 but the time itself: it becomes 0', () => {
    const [entry] = decodeAll(encodeAll([sampleFile('old', { modifiedAtMs: -1 })]))

    assert.ok(entry?.kind === 'file' && entry.modifiedAtMs === 0)
  })

  test('do not keep the frame that they were read from in memory', () => {
    const bytes = encodeAll([
      { kind: 'link', root: 0, path: bytesOf('pg_wal'), owner: 0, target: bytesOf('/wal') },
    ])
    const frame = Buffer.concat([bytes, Buffer.alloc(mebibyte)]).subarray(0, bytes.length)
    const [link] = decodeAll(frame)

    assert.ok(link?.kind === 'link' && link.target.buffer.byteLength < mebibyte)
  })

  test('are damaged when they are cut anywhere', () => {
    const entries = [
      sampleFile('base/1/1259', { damagedBlocks: [3, 4] }),
      sampleFile('base/1/1260', { extents: [unitExtent({ length: 8192, pack: 4, unit: 2, offset: 9 })] }),
    ]
    const whole = encodeAll(entries)
    const first = encodeAll(entries.slice(0, 1)).length

    for (let length = 1; length < whole.length; length += 1) {
      if (length === first) continue // a whole entry: what is missing the frame's seal tells
      assert.throws(() => decodeAll(whole.subarray(0, length)), { code: 'damaged' }, `${length} bytes`)
    }
  })

  test('are damaged with more extents or damaged blocks than the size can need (X8)', () => {
    for (const [sizeBytes, most] of [
      [0, 16],
      [8192, 18],
      [2 ** 50, 2 ** 20],
    ] as const) {
      const pieces = Buffer.alloc(2 * most + 2, Uint8Array.from([1, 0]))
      const extents = new BinaryWriter()
        .bytes(
          begun(sizeBytes)
            .varint(0)
            .varint(most + 1)
            .finish(),
        )
        .bytes(pieces)
      const blocks = new BinaryWriter()
        .bytes(
          begun(sizeBytes)
            .varint(most + 1)
            .finish(),
        )
        .bytes(pieces)
      for (const writer of [extents, blocks])
        assert.throws(() => decodeAll(writer.finish()), {
          code: 'damaged',
          message: new RegExp(`at most ${most} pieces of a file, found ${most + 1}`),
        })
    }
  })

  test('are not written with more extents than can be read', () => {
    const extents = Array.from({ length: 17 }, () => ({ length: 0, source: { kind: 'zeros' } }) as const)

    assert.throws(() => encodeAll([sampleFile('f', { sizeBytes: 0, extents })]), {
      code: 'server-unsuitable',
    })
  })

  test('are damaged when their extents do not add up to the size', () => {
    for (const [sizeBytes, extents] of [
      [1, []],
      [0, [unitExtent({ length: 1 })]],
      [8191, [unitExtent({})]],
      [8193, [unitExtent({})]],
      [8192, [unitExtent({}), unitExtent({ length: 0 })]],
      [
        2 ** 53 - 1,
        [2 ** 53 - 1, 2 ** 53 - 1].map((length): Extent => ({ length, source: { kind: 'zeros' } })),
      ],
    ] as const) {
      const bytes = encodeAll([sampleFile('f', { sizeBytes, extents })])
      assert.throws(() => decodeAll(bytes), { code: 'damaged', message: /contradicts itself/ })
    }
  })

  test('are damaged when an extent is larger than a unit can be', () => {
    const good = unitExtent({ length: mebibyte - 5, offset: 5 })
    for (const [extent, isGood] of [
      [good, true],
      [unitExtent({ length: mebibyte - 4, offset: 5 }), false],
      [unitExtent({ length: mebibyte + 1 }), false],
      [unitExtent({ length: 1, offset: mebibyte }), false],
      [unitExtent({ length: 2 ** 52, offset: 0 }), false],
      [unitExtent({ length: 1, offset: 2 ** 53 - 1 }), false],
    ] as const) {
      const bytes = encodeAll([sampleFile('f', { sizeBytes: extent.length, extents: [extent] })])
      if (isGood) assert.equal(decodeAll(bytes).length, 1)
      else assert.throws(() => decodeAll(bytes), { code: 'damaged' })
    }
  })

  test('are damaged when pack or unit numbers become negative or leave the exact numbers', () => {
    const [most, least] = [2 ** 53 - 2, 2 ** 53 - 3]

    assert.equal(decodeAll(steps([0, 2], [0, 4])).length, 1)
    for (const bytes of [
      steps([1], [0]),
      steps([0], [1]),
      steps([0, 1], [0, 0]),
      steps([least], [0]),
      steps([most, most, most], [0, 0, 0]),
      steps([0, 0, 0], [most, most, most]),
    ]) {
      assert.throws(() => decodeAll(bytes), { code: 'damaged' })
    }
  })

  test('are damaged when damaged blocks leave the exact numbers', () => {
    const bytes = begun(0)
      .varint(2)
      .varint(2 ** 53 - 1)
      .varint(2 ** 53 - 1)
      .varint(0)
      .finish()

    assert.throws(() => decodeAll(bytes), { code: 'damaged' })
  })

  test('are damaged when their kind is unknown or their path shares more than there is', () => {
    for (const kind of [3, 9, 255]) {
      assert.throws(() => decodeAll(Uint8Array.of(kind, 0, 0, 0, 0, 0)), { code: 'damaged' })
    }
    for (const count of [3, 2 ** 31, 2 ** 53 - 1]) {
      assert.throws(() => decodeAll(shared(count)), { code: 'damaged' })
    }
  })

  test('allocate nothing on the word of a count or length (X1)', () => {
    for (const count of [2 ** 20, 2 ** 32, 2 ** 50, 2 ** 53 - 1]) {
      for (const bytes of [
        new BinaryWriter().u8(0).varint(0).varint(0).varint(count).finish(),
        new BinaryWriter().u8(2).varint(0).varint(0).varint(0).varint(0).varint(count).finish(),
        begun(0).varint(count).finish(),
        begun(0).varint(count).bytes(Buffer.alloc(99)).finish(),
        begun(0).varint(0).varint(count).finish(),
        begun(count).varint(0).varint(count).bytes(Buffer.alloc(99, 1)).finish(),
      ]) {
        assert.throws(() => decodeAll(bytes), { code: 'damaged' })
      }
    }
  })

  test('answer arbitrary and changed bytes with entries or with damaged (X1)', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        readsOrRefuses(() => decodeAll(bytes))
      }),
    )
    fc.assert(
      fc.property(
        fc.array(anyEntry, { minLength: 1, maxLength: 5 }),
        fc.array(anyMutation, { minLength: 1, maxLength: 3 }),
        (entries, mutations) => {
          const bytes = mutations.reduce((changed, mutate) => mutate(changed), encodeAll(inOrder(entries)))

          readsOrRefuses(() => decodeAll(bytes))
        },
      ),
      { numRuns: 500 },
    )
  })
})
