import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { describe, test } from 'node:test'

const source = new URL('..', import.meta.url).pathname
const mebibyte = 1024 * 1024

/** Each opens an object of a few kilobytes that says very much, and what it says is refused as damaged. */
const objects = {
  'a part of a manifest with a file of 33 million extents': {
    kind: 'manifest-part',
    raw: `entries(33_000_000)`,
    read: `const reader = new BinaryReader(unpackPayload([...openSealedObject(sealed, identity)][0]), 'x')
      decodeEntry(reader, newEntryContext())`,
  },
  'a part of a manifest with as many extents as a file may have, which do not add up': {
    kind: 'manifest-part',
    raw: `file(2 ** 40, (writer) => writer.varint(0).varint(2 ** 20).bytes(Buffer.alloc(2 ** 21, Buffer.from([1, 0]))))`,
    read: `const reader = new BinaryReader(unpackPayload([...openSealedObject(sealed, identity)][0]), 'x')
      decodeEntry(reader, newEntryContext())`,
  },
  'a part of a manifest with a file of 60 million damaged blocks': {
    kind: 'manifest-part',
    raw: `file(2 ** 50, (writer) => { writer.varint(60_000_000); writer.bytes(Buffer.alloc(60_000_000, 1)) })`,
    read: `const reader = new BinaryReader(unpackPayload([...openSealedObject(sealed, identity)][0]), 'x')
      decodeEntry(reader, newEntryContext())`,
  },
  'a catalogue entry of 60 MiB of empty records': {
    kind: 'catalogue-entry',
    raw: `record(60 * 1024 * 1024)`,
    read: `RecordReader.decode(openObject(repository, { kind: 'catalogue-entry', key }, sealed), 'x').records('all')`,
  },
  'a catalogue entry of 15 MiB of empty records': {
    kind: 'catalogue-entry',
    raw: `record(15 * 1024 * 1024)`,
    read: `RecordReader.decode(openObject(repository, { kind: 'catalogue-entry', key }, sealed), 'x').records('all')`,
  },
  'a verify state of 60 MiB of empty records': {
    kind: 'verify-state',
    raw: `record(60 * 1024 * 1024)`,
    read: `RecordReader.decode(openObject(repository, { kind: 'verify-state', key }, sealed), 'x').records('all')`,
  },
  'a lease of 2 MiB': {
    kind: 'lease',
    raw: `record(2 * 1024 * 1024)`,
    read: `openObject(repository, { kind: 'lease', key }, sealed)`,
  },
  'a cluster record of 2 MiB': {
    kind: 'cluster',
    raw: `record(2 * 1024 * 1024)`,
    read: `openObject(repository, { kind: 'cluster', key }, sealed)`,
  },
} as const

describe('a small object that would become a large one', () => {
  for (const [title, { kind, raw, read }] of Object.entries(objects)) {
    test(`is refused within 256 MB: ${title} (X8)`, () => {
      const { code, sealedBytes, peakBytes } = evaluate(kind, raw, read)

      assert.equal(code, 'damaged')
      assert.ok(sealedBytes < 64 * 1024, `${sealedBytes}`)
      assert.ok(peakBytes < 256 * mebibyte, `${Math.round(peakBytes / mebibyte)} MiB`)
    })
  }
})

interface Refusal {
  readonly code: string
  readonly sealedBytes: number
  readonly peakBytes: number
}

/** Two processes of their own: making the object takes memory too. */
function evaluate(kind: string, raw: string, read: string): Refusal {
  const shared = `
    import { BinaryReader } from '${source}codec/binary-reader.ts'
    import { BinaryWriter } from '${source}codec/binary-writer.ts'
    import { unpackPayload } from '${source}codec/compression.ts'
    import { openSealedObject, sealSingle } from '${source}codec/sealed-object.ts'
    import { decodeEntry, newEntryContext } from '${source}repository/manifest-entry.ts'
    import { RecordReader } from '${source}repository/record.ts'
    import { openObject } from '${source}repository/sealed-store.ts'
    const key = 'x/object'
    const sealing = { method: 'none', repositoryId: new Uint8Array(16), epochs: new Map() }
    const repository = { keys: { sealing } }
    const identity = { keys: sealing, kind: '${kind}', key }
    const file = (size, rest) => {
      const writer = new BinaryWriter().u8(1).varint(0).varint(0).varint(1).bytes(Buffer.from('f')).varint(0)
      writer.varint(0o600).varint(size).varint(0)
      rest(writer)
      return writer.finish()
    }
    const entries = (count) => file(count, (writer) => {
      writer.varint(0).varint(count).bytes(Buffer.alloc(2 * count, Buffer.from([1, 0])))
    })
    const record = (bytes) => Buffer.from('{"all":[' + '{},'.repeat(bytes / 3) + '{}]}')`
  const made = run(`${shared}
    process.stdout.write(Buffer.from(sealSingle(${raw}, identity)).toString('base64'))`)
  const opened = run(`${shared}
    const sealed = Buffer.from('${made}', 'base64')
    let code = 'none'
    try {
      ${read}
    } catch (error) {
      code = error.code ?? String(error)
    }
    const peakBytes = process.resourceUsage().maxRSS * 1024
    process.stdout.write([code, sealed.length, peakBytes].join(' '))`)
  const [code = '', sealedBytes, peakBytes] = opened.split(' ')
  return { code, sealedBytes: Number(sealedBytes), peakBytes: Number(peakBytes) }
}

function run(script: string): string {
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-'], {
    input: script,
    encoding: 'utf8',
  })
  assert.equal(stderr, '')
  return stdout
}
