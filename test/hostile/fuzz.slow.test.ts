import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { checkArchivedFile, decodeText } from '../../src/archive/check-archived-file.ts'
import { decodeWalObjectHead, encodeWalObjectHead } from '../../src/archive/wal-object-head.ts'
import { BinaryReader } from '../../src/codec/binary-reader.ts'
import { BinaryWriter } from '../../src/codec/binary-writer.ts'
import { unpackPayload, packPayload } from '../../src/codec/compression.ts'
import { openSingle, sealSingle, type SealingKeys } from '../../src/codec/sealed-object.ts'
import { parseArchiveFileName } from '../../src/domain/archive-file-name.ts'
import { isOperationError } from '../../src/domain/operation-error.ts'
import { parseTimelineHistory } from '../../src/domain/timeline-history.ts'
import { toTimelineId } from '../../src/domain/timeline.ts'
import { parseControlFile } from '../../src/postgres/control-file.ts'
import { decodeEntry, encodeEntry, newEntryContext } from '../../src/repository/manifest-entry.ts'
import { decodeManifestHead, encodeManifestHead } from '../../src/repository/manifest-head.ts'
import { openKeySlot, sealKeySlot } from '../../src/repository/key-slot.ts'
import { PackReader } from '../../src/repository/pack-reader.ts'
import { decodePackIndex, encodePackIndex } from '../../src/repository/pack-index.ts'
import { encodeRecord, RecordReader } from '../../src/repository/record.ts'
import { decodeRepositoryHeader, encodeRepositoryHeader } from '../../src/repository/repository-header.ts'
import { walPageSize } from '../../src/wal/page-header.ts'
import { buildSegment, createPlace } from '../support/archive-fixture.ts'
import { bytesOf, sampleFile, sampleHead } from '../support/repository-samples.ts'
import { buildPack } from '../support/sample-packs.ts'
import { seededRandom, type Random } from '../support/seeded-random.ts'
import { controlFileContent, directory, link } from '../corruption/synthetic-backup.ts'

/** X8: 10^4 mutations of each format in CI, 10^6 and more with HOLDFAST_FUZZ_RUNS=1000000. */
const runs = Number(process.env['HOLDFAST_FUZZ_RUNS'] ?? 10_000)
const seed = Number(process.env['HOLDFAST_FUZZ_SEED'] ?? Date.now() % 2 ** 31)
const mostBytes = 256 * 1024 * 1024

interface Format {
  readonly name: string
  readonly sample: Uint8Array
  readonly read: (bytes: Uint8Array) => unknown
  /** How much fewer runs than the others: what one reading costs more. */
  readonly costs?: number
}

const key = 'a/b'
/** Without sealing, so that what is mutated reaches the parsers behind the seal as well. */
const keys: SealingKeys = {
  repositoryId: new Uint8Array(16),
  method: 'none',
  epochs: new Map(),
  currentEpoch: 0,
}
const sealed: SealingKeys = {
  repositoryId: new Uint8Array(16),
  method: 'aes-256-gcm',
  epochs: new Map([[1, new Uint8Array(32)]]),
  currentEpoch: 1,
}
const headerBytes = encodeRepositoryHeader({
  repositoryId: new Uint8Array(16),
  method: 'none',
  createdAtMs: 1,
})
const piece = {
  root: 0,
  path: bytesOf('base/1/1259'),
  offset: 0,
  length: 20_000,
  blockHashes: BigUint64Array.of(1n, 2n, 3n),
}
const unit = { frameOffset: 32, frameLength: 100, pieces: [piece] }
const raw = new Uint8Array(20_000).map((_, index) => index >> 5)
const head = { ...sampleHead(), parts: [{ sizeBytes: 5, digest: 'ab' }] }
const entries = [directory(''), sampleFile('PG_VERSION'), directory('base'), link('z', 'base/1')]
const place = await createPlace()
const segment = parseArchiveFileName('000000010000000000000003')
const note = parseArchiveFileName('000000010000000000000003.00000028.backup')
const slot = await sealKeySlot(
  new Uint8Array(32),
  { kind: 'key-file', secret: new Uint8Array(32) },
  headerBytes,
)

const formats: readonly Format[] = [
  {
    name: 'entries of a manifest',
    sample: encodeEntries(),
    read: (bytes) => {
      const reader = new BinaryReader(bytes, 'entries')
      const context = newEntryContext()
      while (reader.remaining > 0) decodeEntry(reader, context)
    },
  },
  {
    name: 'the head of a manifest',
    sample: encodeManifestHead(head),
    read: (bytes) => decodeManifestHead(bytes, key),
  },
  {
    name: 'the index of a pack',
    sample: encodePackIndex([unit]),
    read: (bytes) => decodePackIndex(bytes, { key, firstFrameOffset: 32, framesEnd: 132 }),
  },
  {
    name: 'a pack',
    sample: buildPack([{ raw, pieces: [piece] }], { keys, key }).bytes,
    read: (bytes) => {
      const pack = new PackReader(bytes, { keys, key })
      for (const number of pack.units.keys()) pack.unit(number)
    },
    costs: 4,
  },
  {
    name: 'a catalogue entry',
    sample: encodeRecord({
      version: 1,
      number: 3,
      backups: [{ label: 'x', startLsn: '0/1' }],
      name: 'q"\u{1f418}',
    }),
    read: (bytes) => {
      const reader = RecordReader.decode(bytes, 'a record')
      reader.count('version')
      for (const backup of reader.records('backups')) backup.string('label')
    },
  },
  {
    name: 'a sealed object',
    sample: sealSingle(raw, { keys: sealed, kind: 'lease', key }),
    read: (bytes) => openSingle(bytes, { keys: sealed, kind: 'lease', key }),
  },
  {
    name: 'an object without sealing',
    sample: sealSingle(raw, { keys, kind: 'lease', key }),
    read: (bytes) => openSingle(bytes, { keys, kind: 'lease', key }),
  },
  {
    name: 'a compressed frame',
    sample: Buffer.concat(packPayload(raw, 3)),
    read: (bytes) => unpackPayload(bytes, 2 ** 20),
  },
  {
    name: 'the header of a repository',
    sample: headerBytes,
    read: (bytes) => decodeRepositoryHeader(bytes, 'x'),
  },
  {
    name: 'a key slot',
    sample: slot,
    // A slot for a passphrase would take half a second each: its bounds have tests of their own.
    read: (bytes) =>
      openKeySlot(bytes, { kind: 'key-file', secret: new Uint8Array(32) }, { headerBytes, key }),
  },
  {
    name: 'the head of a WAL object',
    sample: encodeWalObjectHead({
      contentBytes: 2 ** 25 + 5,
      parts: [1, 2, 3].map((byte) => ({ sealedBytes: 5, digest: new Uint8Array(32).fill(byte) })),
    }),
    read: (bytes) => decodeWalObjectHead(bytes, key),
  },
  {
    name: 'a history file',
    sample: bytesOf(
      '1\t0/5000000\tno recovery target specified\n\n2\tA/5000000\tbefore 2026-02-20 16:00:00+00\n',
    ),
    read: (bytes) => parseTimelineHistory(toTimelineId(3), decodeText(bytes)),
  },
  {
    name: 'the first page of a WAL segment',
    sample: buildSegment('000000010000000000000003').subarray(0, walPageSize),
    read: (mutated) => {
      // Whoever reads a segment reads whole pages.
      const bytes = Buffer.concat([mutated, Buffer.alloc(walPageSize)]).subarray(0, walPageSize)
      const verdict = checkArchivedFile(
        segment,
        { bytes, sizeBytes: 2 ** 20 },
        { ...place, history: undefined },
      )
      assert.ok(verdict.kind === 'valid' || verdict.reason.length > 0)
    },
  },
  {
    name: 'a backup history file',
    sample: bytesOf(
      'START WAL LOCATION: 0/300028 (file 000000010000000000000003)\nSTOP WAL LOCATION: 0/300100 (file 000000010000000000000003)\n',
    ),
    read: (bytes) =>
      checkArchivedFile(note, { bytes, sizeBytes: bytes.length }, { ...place, history: undefined }),
  },
  { name: 'a control file', sample: controlFileContent('7'), read: (bytes) => parseControlFile(bytes) },
]

describe(`reading mutated bytes (seed ${seed})`, () => {
  for (const { name, sample, read, costs = 1 } of formats) {
    test(`ends in a value or a typed error, in bounded memory: ${name}`, async () => {
      const random = seededRandom(seed)
      await read(sample)
      let peakBytes = 0
      const before = process.memoryUsage.rss()
      for (let run = 0; run < runs / costs; run += 1) {
        const mutated = mutate(sample, random)
        try {
          await read(mutated)
        } catch (error) {
          const told = `run ${run} of seed ${seed}: ${Buffer.from(mutated).toString('base64').slice(0, 2000)}`
          assert.ok(
            isOperationError(error),
            `${told}\n${error instanceof Error ? error.stack : String(error)}`,
          )
        }
        if (run % 100 !== 0) continue
        // zlib gives its memory back when others have had a turn.
        await setImmediate()
        peakBytes = Math.max(peakBytes, process.memoryUsage.rss() - before)
      }
      assert.ok(peakBytes < mostBytes, `${peakBytes} bytes`)
    })
  }
})

/** One to four changes: a bit, a byte, a cut, a run that is repeated or removed, a count that is far too large. */
function mutate(sample: Uint8Array, random: Random): Uint8Array {
  let bytes = Buffer.from(sample)
  for (let change = random(4); change >= 0; change -= 1) bytes = changed(bytes, random)
  return bytes
}

function changed(bytes: Buffer<ArrayBuffer>, random: Random): Buffer<ArrayBuffer> {
  const at = random(bytes.length + 1)
  const [start, rest] = [bytes.subarray(0, at), bytes.subarray(at)]
  switch (random(6)) {
    case 0:
      return Buffer.concat([start, Buffer.of((rest[0] ?? 0) ^ (1 << random(8))), rest.subarray(1)])
    case 1:
      return Buffer.concat([start, Buffer.of(random(256)), rest.subarray(1)])
    case 2:
      return Buffer.from(start)
    case 3:
      return Buffer.concat([start, rest.subarray(random(16))])
    case 4:
      return Buffer.concat([start, bytes.subarray(random(bytes.length + 1)).subarray(0, random(64)), rest])
    default:
      return Buffer.concat([
        start,
        hugeCounts[random(hugeCounts.length)] ?? Buffer.of(),
        rest.subarray(random(9)),
      ])
  }
}

const hugeCounts = [
  [0xff, 0xff, 0xff, 0xff],
  [0xff, 0xff, 0xff, 0x7f],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
  [0x80, 0x80, 0x80, 0x20],
].map((bytes) => Buffer.from(bytes))

function encodeEntries(): Uint8Array {
  const writer = new BinaryWriter()
  const context = newEntryContext()
  for (const entry of entries) encodeEntry(writer, entry, context)
  return writer.finish()
}
