import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { BinaryReader } from '../codec/binary-reader.ts'
import { BinaryWriter } from '../codec/binary-writer.ts'
import { parseBackupLabel } from '../domain/backup-label.ts'
import { isOperationError } from '../domain/operation-error.ts'
import {
  anyMutation,
  comparable,
  flipBit,
  readsOrRefuses,
  sampleHead,
  samplePackCount,
} from '../../test/support/repository-samples.ts'
import { decodeManifestHead, encodeManifestHead, type ManifestHead } from './manifest-head.ts'

const key = '00000000000000aa/backup/20260220-153000F/0001/manifest'
const head: ManifestHead = { ...sampleHead(), parts: [{ sizeBytes: 2 ** 40, digest: 'ab'.repeat(16) }] }
const encoded = encodeManifestHead(head)
const decode = (payload: Uint8Array): ManifestHead => decodeManifestHead(payload, key)

const splitAt = recordEnd(encoded)

function recordEnd(payload: Uint8Array): number {
  const reader = new BinaryReader(payload, 'a head')
  reader.sizedBytes()
  return reader.offset
}

/** The head with another JSON record: `change` gets the fields. */
function withRecord(change: (record: Record<string, unknown>) => void): Uint8Array {
  const text = Buffer.from(new BinaryReader(encoded, 'a head').sizedBytes()).toString()
  const record = JSON.parse(text) as Record<string, unknown>
  change(record)
  const writer = new BinaryWriter().sizedBytes(Buffer.from(JSON.stringify(record)))
  return writer.bytes(encoded.subarray(splitAt)).finish()
}

/** The head with another pack table. */
const withPacks = (table: BinaryWriter): Uint8Array =>
  Buffer.concat([encoded.subarray(0, splitAt), table.finish()])

const tag = new Uint8Array(16)

const anyPack = fc.record({
  label: fc.constantFrom('20260218-000000F', '20260219-000000I', '20260220-153000F').map(parseBackupLabel),
  number: fc.integer({ min: 1, max: 2 ** 31 }),
  sizeBytes: fc.nat(64 * 1024 * 1024),
  liveBytes: fc.maxSafeNat(),
  rawBytes: fc.maxSafeNat(),
  indexTag: fc.uint8Array({ minLength: 16, maxLength: 16 }),
})

const anyHead = fc
  .record({
    backupLabelFile: fc.uint8Array(),
    tablespaceMap: fc.uint8Array(),
    owners: fc.array(fc.string({ unit: 'binary' })),
    packs: fc.array(anyPack),
    parts: fc.array(fc.record({ sizeBytes: fc.maxSafeNat(), digest: fc.string() })),
    tablespaces: fc.uniqueArray(
      fc.record({
        oid: fc.integer({ min: 1, max: 2 ** 32 - 1 }),
        name: fc.string({ unit: 'binary' }),
        location: fc.option(fc.string(), { nil: undefined }),
      }),
      { selector: ({ oid }) => oid },
    ),
  })
  .map((fields): ManifestHead => Object.assign({}, head, fields))

describe('the head of a manifest', () => {
  test('reads back as it was written', () => {
    fc.assert(
      fc.property(anyHead, (written) => {
        assert.deepEqual(comparable(decode(encodeManifestHead(written))), comparable(written))
      }),
    )
  })

  test('refuses tablespaces that have no OID or share one (RULES 4.4)', () => {
    for (const oids of [[0], [2 ** 32], [16_400, 16_401, 16_400]]) {
      const tablespaces = oids.map((oid) => ({ oid, name: 'fast', location: `/srv/${oid}` }))

      assert.throws(
        () => decode(encodeManifestHead({ ...head, tablespaces })),
        (error) => isOperationError(error, 'damaged'),
      )
    }
  })

  test('reads back with the packs of older backups and of a backup of a hundred thousand packs', () => {
    const packs = Array.from({ length: 100_000 }, (_, index) => ({
      label: head.packs[index % samplePackCount]?.label ?? head.backup.label,
      number: index + 1,
      sizeBytes: 16_777_216,
      liveBytes: 2 ** 27 + index,
      rawBytes: 2 ** 28,
      indexTag: new Uint8Array(16).fill(index),
    }))
    const large = encodeManifestHead({ ...head, packs })

    assert.deepEqual(comparable(decode(large).packs), comparable(packs))
    assert.ok(large.length < 100_000 * 36)
  })

  test('is of the first version, without raw bytes, when all packs are wholly live', () => {
    const packs = head.packs.map((pack) => ({ ...pack, rawBytes: pack.liveBytes }))
    const whole = encodeManifestHead({ ...head, packs })

    assert.match(Buffer.from(whole).toString('latin1'), /"version":1,/)
    assert.match(Buffer.from(encoded).toString('latin1'), /"version":2,/)
    assert.deepEqual(comparable(decode(whole).packs), comparable(packs))
  })

  test('may have fields that this version does not know', () => {
    const extended = withRecord((record) => {
      record['later'] = { parent: '20260219-153000F' }
    })

    assert.deepEqual(comparable(decode(extended)), comparable(head))
  })

  test('of a later version is refused as such', () => {
    const later = withRecord((record) => {
      record['version'] = 3
    })

    assert.throws(() => decode(later), { code: 'format-newer', message: /^reading manifest "/ })
  })

  test('is damaged when a field is missing or not as it should be', () => {
    const wrong = [
      'systemIdentifier',
      'hasDataChecksums',
      'walSegmentSize',
      'serverVersion',
      'version',
      'backup',
    ]
    const lists = ['tablespaces', 'owners', 'parts', 'packLabels', 'backupLabelFile', 'tablespaceMap']
    for (const name of [...wrong, ...lists]) {
      for (const value of [undefined, null, -1, 0.5, [null], { name: 1 }, [{ name: 1 }]]) {
        const changed = withRecord((record) => {
          record[name] = value
        })
        assert.throws(() => decode(changed), { code: 'damaged' }, `${name}: ${JSON.stringify(value)}`)
      }
    }
  })

  test('is damaged when what the server gave is not exactly base64', () => {
    for (const text of ['QUJ', 'QUJD!', 'QU JD', 'QUJDRA', 'QUJDRB==', 'QUJD\n', '-_-_']) {
      for (const name of ['backupLabelFile', 'tablespaceMap']) {
        const changed = withRecord((record) => {
          record[name] = text
        })
        assert.throws(() => decode(changed), { code: 'damaged', message: new RegExp(name) }, text)
      }
    }
  })

  test('is damaged when a pack has a label that is not there', () => {
    for (const index of [2, 3, 2 ** 31, 2 ** 53 - 1]) {
      const table = new BinaryWriter().varint(1).varint(index).varint(1).varint(1).varint(1).bytes(tag)
      assert.throws(() => decode(withPacks(table)), { code: 'damaged', message: /a pack has no label/ })
    }
    const good = new BinaryWriter().varint(1).varint(1).varint(1).varint(1).varint(1).varint(1).bytes(tag)
    assert.equal(decode(withPacks(good)).packs.length, 1)
  })

  test('allocates nothing on the word of a count or length (X1)', () => {
    for (const count of [2 ** 20, 2 ** 32, 2 ** 50, 2 ** 53 - 1]) {
      assert.throws(() => decode(withPacks(new BinaryWriter().varint(count))), { code: 'damaged' })
      const short = new BinaryWriter().varint(count).bytes(Buffer.alloc(500))
      assert.throws(() => decode(withPacks(short)), { code: 'damaged' })
      const noRecord = new BinaryWriter().varint(count).bytes(encoded)
      assert.throws(() => decode(noRecord.finish()), { code: 'damaged' })
    }
  })

  test('is damaged when it is cut at any length or goes on behind its end', () => {
    for (let length = 0; length < encoded.length; length += 1) {
      assert.throws(() => decode(encoded.subarray(0, length)), { code: 'damaged' })
    }
    assert.throws(() => decode(Buffer.concat([encoded, tag])), { code: 'damaged' })
  })

  test('answers arbitrary and changed bytes with a head or with damaged (X1)', () => {
    for (let bit = 0; bit < encoded.length * 8; bit += 1) readsOrRefuses(() => decode(flipBit(encoded, bit)))
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        readsOrRefuses(() => decode(bytes))
      }),
    )
    fc.assert(
      fc.property(fc.array(anyMutation, { minLength: 1, maxLength: 3 }), (mutations) => {
        readsOrRefuses(() => decode(mutations.reduce((bytes, mutate) => mutate(bytes), encoded)))
      }),
    )
  })
})
