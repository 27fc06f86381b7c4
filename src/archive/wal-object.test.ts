import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { recordingContext, testSystemIdentifier } from '../../test/support/archive-fixture.ts'
import { keyedDigest } from '../codec/keyed-digest.ts'
import { parseArchiveFileName } from '../domain/archive-file-name.ts'
import { isOperationError } from '../domain/operation-error.ts'
import { parseSystemIdentifier } from '../domain/system-identifier.ts'
import { toWalSegmentSize } from '../domain/wal-segment.ts'
import { systemClock } from '../platform/system-clock.ts'
import { deriveRepositoryKeys } from '../repository/repository-keys.ts'
import { MemoryStore } from '../storage/memory/memory-store.ts'
import type { ArchivePlace } from './archive-place.ts'
import { ContentDigest } from './content-digest.ts'
import { fetchSegment } from './fetch-segment.ts'
import { decodeWalObjectHead, encodeWalObjectHead } from './wal-object-head.ts'
import { parseWalObjectKey, walObjectKey } from './wal-object-key.ts'

const clusterId = 'c0ffee0000000001'
const noteName = '000000010000000000000003.00000028.backup'
const goldens = [
  {
    file: 'wal-object-v1.bin',
    name: noteName,
    key: `${clusterId}/wal/00000001/00000000/${noteName}-bb2348e156f4a817dca59bfc64017ff9.00`,
    content:
      'START WAL LOCATION: 0/3000028 (file 000000010000000000000003)\nSTOP WAL LOCATION: 0/3000100 (file 000000010000000000000003)\n',
  },
  {
    file: 'wal-history-v1.bin',
    name: '0000000A.history',
    key: `${clusterId}/wal/history/0000000A.history-feb8beb273bd8f38bb0a2caf0d85cd5b`,
    content: '1\t0/3000100\tno recovery target specified\n',
  },
] as const

describe('the golden WAL objects', () => {
  for (const golden of goldens) {
    test(`"${golden.file}" still opens under its key and gives its content`, async () => {
      const place = goldenPlace()
      await place.repository.store.putIfAbsent(golden.key, readGolden(golden.file))

      const fetched = await fetchSegment({ name: golden.name }, place, recordingContext())

      assert.ok(fetched.kind === 'found')
      assert.equal(Buffer.from(fetched.bytes).toString(), golden.content)
    })
  }

  test('the golden head is what is written and read', () => {
    const bytes = readGolden('wal-object-head-v1.bin')
    const head = decodeWalObjectHead(bytes, 'golden')

    assert.equal(head.contentBytes, 40 * 1024 * 1024)
    assert.deepEqual(
      head.parts.map(({ sealedBytes, digest }) => [sealedBytes, digest.length, digest[0]]),
      [
        [1001, 32, 1],
        [1002, 32, 2],
        [1003, 32, 3],
      ],
    )
    assert.deepEqual(Buffer.from(encodeWalObjectHead(head)), bytes)
  })

  test('any flipped bit of an object is noticed (R22)', async () => {
    const [{ file, key, name }] = goldens
    const bytes = readGolden(file)
    for (let offset = 0; offset < bytes.length; offset += 1) {
      const place = goldenPlace()
      const flipped = Buffer.from(bytes)
      flipped.writeUInt8(flipped.readUInt8(offset) ^ 4, offset)
      await place.repository.store.putIfAbsent(key, flipped)

      await assert.rejects(fetchSegment({ name }, place, recordingContext()), (error) =>
        isOperationError(error),
      )
    }
  })

  test('an object cut short anywhere is noticed', async () => {
    const [{ file, key, name }] = goldens
    const bytes = readGolden(file)
    for (let length = 0; length < bytes.length; length += 1) {
      const place = goldenPlace()
      await place.repository.store.putIfAbsent(key, bytes.subarray(0, length))

      await assert.rejects(fetchSegment({ name }, place, recordingContext()), (error) =>
        isOperationError(error, 'damaged'),
      )
    }
  })
})

describe('decodeWalObjectHead', () => {
  test('answers any bytes with a head or "damaged"', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          decodeWalObjectHead(bytes, 'x')
        } catch (error) {
          assert.ok(isOperationError(error, 'damaged'))
        }
      }),
    )
  })
})

describe('parseWalObjectKey', () => {
  for (const [name, part] of [
    ['000000010000000000000003', 0],
    ['0000000A00000FF10000003F', 12],
    ['000000010000000000000003.partial', 0],
    [noteName, 0],
    ['FFFFFFFF.history', 0],
  ] as const) {
    test(`reads what walObjectKey writes for ${name}`, () => {
      const object = { name: parseArchiveFileName(name), digest: 'a'.repeat(32), part }

      assert.deepEqual(parseWalObjectKey(clusterId, walObjectKey(clusterId, object)), object)
    })
  }

  test('knows no other keys', () => {
    const digest = 'a'.repeat(32)
    for (const key of [
      `other/wal/00000001/00000000/000000010000000000000003-${digest}.00`,
      `${clusterId}/wal/00000002/00000000/000000010000000000000003-${digest}.00`,
      `${clusterId}/wal/00000001/00000001/000000010000000000000003-${digest}.00`,
      `${clusterId}/wal/00000001/00000000/000000010000000000000003-${digest}`,
      `${clusterId}/wal/00000001/00000000/000000010000000000000003-${digest}.0`,
      `${clusterId}/wal/history/00000002.history-${digest}.00`,
      `${clusterId}/wal/x`,
    ]) {
      assert.equal(parseWalObjectKey(clusterId, key), undefined)
    }
  })
})

describe('ContentDigest', () => {
  test('gives what the keyed digest of name and content gives, however it is cut', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.nat(50), (content, cut) => {
        const digest = new ContentDigest(Buffer.alloc(32, 3), noteName)
        digest.update(content.subarray(0, cut))
        digest.update(content.subarray(cut))

        assert.equal(digest.finish(), keyedDigest(Buffer.alloc(32, 3), Buffer.from(noteName), content))
      }),
    )
  })
})

function readGolden(file: string): Buffer {
  return readFileSync(join(import.meta.dirname, '../../test/golden', file))
}

/** An empty repository whose every key is known, so that objects of another day open in it. */
function goldenPlace(): ArchivePlace {
  const header = {
    repositoryId: Uint8Array.from({ length: 16 }, (_, index) => index),
    method: 'aes-256-gcm',
    createdAtMs: 1_771_600_000_000,
  } as const
  const keys = deriveRepositoryKeys(header, Buffer.alloc(32, 5))
  const store = new MemoryStore('golden', systemClock)
  return {
    repository: { store, id: '00', method: header.method, createdAtMs: header.createdAtMs, keys },
    cluster: {
      id: clusterId,
      name: 'main',
      systemIdentifier: parseSystemIdentifier(testSystemIdentifier),
      lineage: '0'.repeat(32),
      major: 16,
      walSegmentSize: toWalSegmentSize(1024 * 1024),
      createdAtMs: header.createdAtMs,
    },
  }
}
