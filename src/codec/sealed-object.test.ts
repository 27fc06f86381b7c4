import assert from 'node:assert/strict'
import { createDecipheriv, createHash, hkdfSync } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { zstdDecompressSync } from 'node:zlib'
import * as fc from 'fast-check'
import { isOperationError } from '../domain/operation-error.ts'
import { packPayload, unpackPayload } from './compression.ts'
import {
  createObjectSealer,
  ObjectOpener,
  openSealedObject,
  openSingle,
  sealedFrameOverhead,
  sealedHeaderBytes,
  sealSingle,
  type ObjectIdentity,
  type SealingKeys,
} from './sealed-object.ts'

const goldenKey = 'ab12/packs/golden'
const goldenSalt = range(0xa0, 16)
const goldenContents = ['holdfast '.repeat(8), 'the last frame']

const goldens = [
  { file: 'sealed-object-v1.bin', method: 'aes-256-gcm' },
  { file: 'sealed-object-v1-plain.bin', method: 'none' },
] as const

describe('sealed objects', () => {
  for (const method of ['aes-256-gcm', 'none'] as const) {
    const identity = pack({ keys: keysOf(method) })

    describe(`with the method ${method}`, () => {
      test('open to what was sealed, frame by frame', () => {
        fc.assert(
          fc.property(
            fc.array(fc.uint8Array({ maxLength: 200 }), { minLength: 1, maxLength: 6 }),
            (payloads) => {
              const opened = [...openSealedObject(sealFrames(identity, payloads), identity)]

              assert.deepEqual(opened.map(toHex), payloads.map(toHex))
            },
          ),
        )
      })

      test('open in any order by position', () => {
        const payloads = ['one', 'two', 'three'].map((text) => Buffer.from(text))
        const object = sealFrames(identity, payloads)
        const opener = new ObjectOpener(object.subarray(0, sealedHeaderBytes), identity)
        const offsetOf = (index: number): number =>
          payloads
            .slice(0, index)
            .reduce((sum, payload) => sum + payload.length + sealedFrameOverhead, sealedHeaderBytes)

        for (const index of [2, 0, 1, 0]) {
          const frame = object.subarray(offsetOf(index), offsetOf(index + 1))
          assert.equal(
            String(Buffer.from(opener.openFrame(frame, index, index === 2))),
            String(payloads[index]),
          )
        }
      })

      test('of one frame open to their raw bytes', () => {
        const raw = Buffer.from('a record '.repeat(100))
        const object = sealSingle(raw, identity)

        assert.ok(object.length < raw.length)
        assert.ok(Buffer.from(openSingle(object, identity)).equals(raw))
        assert.throws(() => openSingle(object, identity, raw.length - 1), { code: 'damaged' })
      })

      test('are found out when any bit of them is flipped (X1)', () => {
        const object = sealFrames(identity, [Buffer.from('first'), Buffer.from('second')])

        for (let bit = 0; bit < object.length * 8; bit += 1) {
          const flipped = Buffer.from(object)
          flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
          const codes = {
            8: 'format-newer',
            12: 'key-missing',
            13: 'key-missing',
            14: 'key-missing',
            15: 'key-missing',
          }
          const [code] = Object.entries(codes).flatMap(([byte, each]) =>
            Number(byte) === bit >> 3 ? [each] : [],
          )
          assert.throws(
            () => [...openSealedObject(flipped, identity)],
            (error) => isOperationError(error) && (error.code === 'damaged' || error.code === code),
            `bit ${bit}`,
          )
        }
      })

      test('are found out when they are cut at any length, or something is appended (X1)', () => {
        const object = sealFrames(identity, [
          Buffer.from('first'),
          Buffer.from('second'),
          Buffer.from('third'),
        ])

        for (let length = 0; length < object.length; length += 1) {
          assert.throws(() => [...openSealedObject(object.subarray(0, length), identity)], {
            code: 'damaged',
          })
        }
        for (const extra of [1, 4, 20, 100]) {
          assert.throws(() => [...openSealedObject(Buffer.concat([object, Buffer.alloc(extra)]), identity)], {
            code: 'damaged',
          })
        }
        assert.throws(() => [...openSealedObject(Buffer.concat([object, object.subarray(32)]), identity)], {
          code: 'damaged',
        })
      })

      test('are found out when frames change places, are repeated or left out', () => {
        const object = sealFrames(identity, [
          Buffer.from('aaaaa'),
          Buffer.from('bbbbb'),
          Buffer.from('ccccc'),
        ])
        const frame = (index: number): Buffer => object.subarray(32 + 25 * index, 32 + 25 * (index + 1))

        for (const order of [[1, 0, 2], [0, 2, 1], [0, 0, 2], [0, 2], [1, 2], [2], [0, 1]]) {
          const changed = Buffer.concat([object.subarray(0, 32), ...order.map(frame)])
          assert.throws(() => [...openSealedObject(changed, identity)], { code: 'damaged' }, order.join(','))
        }
      })

      test('cannot stand in for each other: not under another key, kind or repository', () => {
        const object = sealSingle(Buffer.from('x'), identity)
        const foreign = { ...identity.keys, repositoryId: Buffer.alloc(16, 9) }

        for (const other of [
          { ...identity, key: 'ab12/packs/other' },
          { ...identity, kind: 'manifest' as const },
          { ...identity, keys: foreign },
        ]) {
          assert.throws(() => openSingle(object, other), { code: 'damaged' })
        }
      })

      test('do not mix their frames with those of another object of the same key', () => {
        const [left, right] = [
          sealSingle(Buffer.from('left'), identity),
          sealSingle(Buffer.from('riht'), identity),
        ]

        assert.throws(() => openSingle(Buffer.concat([left.subarray(0, 32), right.subarray(32)]), identity), {
          code: 'damaged',
        })
      })

      test('answer arbitrary bytes behind a good header with damaged', () => {
        const header = createObjectSealer(identity).header
        fc.assert(
          fc.property(fc.uint8Array({ maxLength: 80 }), (noise) => {
            assert.throws(() => [...openSealedObject(Buffer.concat([header, noise]), identity)], {
              code: 'damaged',
            })
          }),
        )
      })
    })
  }

  test('of the method none are refused in a sealed repository, and the other way round (4.3)', () => {
    const [sealed, plain] = [pack({}), pack({ keys: keysOf('none') })]

    assert.throws(() => openSingle(sealSingle(Buffer.from('x'), plain), sealed), {
      code: 'damaged',
      message: 'opening "ab12/packs/golden": expected sealing method (aes-256-gcm) 1, found 0',
    })
    assert.throws(() => openSingle(sealSingle(Buffer.from('x'), sealed), plain), { code: 'damaged' })
  })

  test('of an older epoch stay readable, those of an unknown one need its key', () => {
    const old = sealSingle(Buffer.from('x'), pack({ keys: { ...keysOf('aes-256-gcm'), currentEpoch: 1 } }))
    const onlyNew = { ...keysOf('aes-256-gcm'), epochs: new Map([[2, Buffer.alloc(32, 1)]]) }

    assert.equal(String(Buffer.from(openSingle(old, pack({})))), 'x')
    assert.throws(() => openSingle(old, pack({ keys: onlyNew })), { code: 'key-missing' })
  })

  test('of a later format are refused as such', () => {
    const object = Buffer.from(sealSingle(Buffer.from('x'), pack({})))
    object[8] = 2

    assert.throws(() => openSingle(object, pack({})), { code: 'format-newer' })
  })

  test('name the object when they do not open', () => {
    const object = Buffer.from(sealSingle(Buffer.from('x'), pack({})))
    object[object.length - 1] = (object.at(-1) ?? 0) ^ 1

    assert.throws(
      () => openSingle(object, pack({})),
      /^OperationError: opening "ab12\/packs\/golden": its seal does not match/,
    )
    assert.throws(() => openSingle(Buffer.from('not one of ours, but long enough for a header'), pack({})), {
      code: 'damaged',
      message: /^opening "ab12\/packs\/golden": expected it to begin with "HOLDFAST"/,
    })
  })

  test('of several frames are not taken for one frame', () => {
    const frames = [Buffer.from('x'), Buffer.from('y')].map((raw) => Buffer.concat(packPayload(raw, 0)))

    assert.throws(() => openSingle(sealFrames(pack({}), frames), pack({})), { code: 'damaged' })
  })

  test('differ every time, for their salt does', () => {
    const [first, second] = [sealSingle(Buffer.from('x'), pack({})), sealSingle(Buffer.from('x'), pack({}))]

    assert.notDeepEqual(first.subarray(16), second.subarray(16))
  })

  test('take no frame after the last one', () => {
    const sealer = createObjectSealer(pack({}))
    sealer.sealFrame([Buffer.from('x')], true)

    assert.throws(() => sealer.sealFrame([Buffer.from('y')], true))
  })

  test('can be sealed and opened with keys that were sent to a worker', () => {
    const identity = pack({})
    const cloned = { ...identity, keys: structuredClone(identity.keys) }

    assert.equal(String(Buffer.from(openSingle(sealSingle(Buffer.from('x'), cloned), identity))), 'x')
  })
})

describe('the golden sealed objects', () => {
  for (const { file, method } of goldens) {
    const identity = pack({ keys: keysOf(method) })
    const object = readFileSync(join(import.meta.dirname, '../../test/golden', file))

    test(`open (${method})`, () => {
      const raw = [...openSealedObject(object, identity)].map((payload) =>
        String(Buffer.from(unpackPayload(payload))),
      )

      assert.deepEqual(raw, goldenContents)
    })

    test(`are written to the byte (${method})`, () => {
      const sealer = createObjectSealer(identity, goldenSalt)
      const payloads = [...openSealedObject(object, identity)]
      const parts = payloads.flatMap((payload, index) =>
        sealer.sealFrame([payload], index === payloads.length - 1),
      )

      assert.equal(toHex(Buffer.concat([sealer.header, ...parts])), toHex(object))
    })

    test(`open by what docs/formats/sealed-object.md says alone (${method})`, () => {
      assert.deepEqual(openByTheBook(object, method), goldenContents)
    })

    test(`are printed in docs/formats/sealed-object.md (${method})`, () => {
      const document = readFileSync(join(import.meta.dirname, '../../docs/formats/sealed-object.md'), 'utf8')
      const printed = document
        .split('```text\n')
        .map((block) => block.split('```')[0]?.replaceAll(/\s|#.*$/gm, ''))

      assert.ok(printed.includes(toHex(object)))
    })
  }
})

function keysOf(method: SealingKeys['method']): SealingKeys {
  const epochs = new Map([
    [1, range(0, 32)],
    [2, range(0x40, 32)],
  ])
  const repositoryId = range(0xf0, 16)
  return method === 'none'
    ? { repositoryId, method, epochs: new Map(), currentEpoch: 0 }
    : { repositoryId, method, epochs, currentEpoch: 2 }
}

function pack(differences: Partial<ObjectIdentity>): ObjectIdentity {
  return { keys: keysOf('aes-256-gcm'), kind: 'pack', key: goldenKey, ...differences }
}

function sealFrames(identity: ObjectIdentity, payloads: readonly Uint8Array[]): Buffer {
  const sealer = createObjectSealer(identity)
  const frames = payloads.flatMap((payload, index) =>
    sealer.sealFrame([payload], index === payloads.length - 1),
  )
  return Buffer.concat([sealer.header, ...frames])
}

function range(first: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => first + index)
}

function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

/** A second implementation of the format, without any of the first. */
function openByTheBook(object: Buffer, method: SealingKeys['method']): string[] {
  const header = object.subarray(0, 32)
  const info = Buffer.from(`holdfast object v1\0${goldenKey}`)
  const objectKey = Buffer.from(hkdfSync('sha256', range(0x40, 32), header.subarray(16), info, 32))
  const contents: string[] = []
  for (let offset = 32, index = 0; offset < object.length; index += 1) {
    const end = offset + 4 + object.readUInt32LE(offset)
    const [sealed, tag] = [object.subarray(offset + 4, end - 16), object.subarray(end - 16, end)]
    const place = Buffer.from([index, 0, 0, 0, end === object.length ? 1 : 0])
    const bound = Buffer.concat([
      header,
      range(0xf0, 16),
      Buffer.from([17, 0]),
      Buffer.from(goldenKey),
      place,
    ])
    let payload = sealed
    if (method === 'none') {
      assert.ok(createHash('sha256').update(bound).update(sealed).digest().subarray(0, 16).equals(tag))
    } else {
      const nonce = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, index, 0, 0, 0])
      const opening = createDecipheriv('aes-256-gcm', objectKey, nonce).setAAD(bound).setAuthTag(tag)
      payload = Buffer.concat([opening.update(sealed), opening.final()])
    }
    const raw = payload[0] === 1 ? zstdDecompressSync(payload.subarray(5)) : payload.subarray(5)
    assert.equal(raw.length, payload.readUInt32LE(1))
    contents.push(String(raw))
    offset = end
  }
  return contents
}
