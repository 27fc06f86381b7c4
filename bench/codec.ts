// Measures what a worker does with file content: compress, seal, hash, check. Run: node bench/codec.ts
// The floors are less than half of what was measured on a busy machine with two cores; below one, the exit code is 1.
import { createHash } from 'node:crypto'
import { packPayload, unpackPayload } from '../src/codec/compression.ts'
import { createPageKernel } from '../src/codec/page-kernel.ts'
import { createObjectSealer, ObjectOpener, type ObjectIdentity } from '../src/codec/sealed-object.ts'

const chunkBytes = 1024 * 1024
const rounds = 5
const leastMs = 150

interface Measurement {
  readonly name: string
  readonly floor: number
  readonly run: () => unknown
}

const chunk = tableContent()
const kernel = createPageKernel({ inputBytes: chunkBytes, seed: 1n })
kernel.input.set(chunk)
const hashes = new BigUint64Array(chunkBytes / 8192)
const sealed = identity('aes-256-gcm')
const plain = identity('none')
const payload = packPayload(chunk, 3)

const measurements: readonly Measurement[] = [
  { name: 'page checksum', floor: 8000, run: () => kernel.checkPages({ offset: 0, length: chunkBytes }, 0) },
  {
    name: 'block hash (XXH64)',
    floor: 3000,
    run: () => kernel.hashBlocks({ offset: 0, length: chunkBytes }, hashes),
  },
  { name: 'compress, level -5', floor: 250, run: () => packPayload(chunk, -5) },
  { name: 'compress, level 1', floor: 115, run: () => packPayload(chunk, 1) },
  { name: 'compress, level 3', floor: 65, run: () => packPayload(chunk, 3) },
  { name: 'decompress', floor: 300, run: unpacker() },
  { name: 'seal, AES-256-GCM', floor: 900, run: sealerOf(sealed) },
  { name: 'open, AES-256-GCM', floor: 900, run: openerOf(sealed) },
  { name: 'seal, none', floor: 600, run: sealerOf(plain) },
  { name: 'open, none', floor: 600, run: openerOf(plain) },
]

const ratio = chunkBytes / payload.reduce((sum, part) => sum + part.length, 0)
console.log(`1 MiB chunks of table-like content; at level 3 it shrinks to 1/${ratio.toFixed(2)}`)
const results = measurements.map(({ name, floor, run }) => ({ name, 'MB/s': megabytesPerSecond(run), floor }))
console.table(results)
const slow = results.filter((result) => result['MB/s'] < result.floor)
for (const { name } of slow) console.error(`below its floor: ${name}`)
process.exitCode = slow.length === 0 ? 0 : 1

/** The best of several rounds: the others tell how busy the machine was. */
function megabytesPerSecond(run: () => unknown): number {
  let best = 0
  for (let round = 0; round < rounds; round += 1) {
    const start = performance.now()
    let chunks = 0
    while (performance.now() - start < leastMs) {
      run()
      chunks += 1
    }
    best = Math.max(best, (chunks * chunkBytes) / 1000 / (performance.now() - start))
  }
  return Math.round(best)
}

function unpacker(): () => unknown {
  const packed = Buffer.concat(payload)
  return () => unpackPayload(packed)
}

function sealerOf(target: ObjectIdentity): () => unknown {
  const sealer = createObjectSealer(target)
  return () => sealer.sealFrame([chunk], false)
}

function openerOf(target: ObjectIdentity): () => unknown {
  const sealer = createObjectSealer(target)
  const frame = Buffer.concat(sealer.sealFrame([chunk], true))
  const opener = new ObjectOpener(sealer.header, target)
  return () => opener.openFrame(frame, 0, true)
}

function identity(method: 'none' | 'aes-256-gcm'): ObjectIdentity {
  const keys = {
    repositoryId: Buffer.alloc(16, 1),
    method,
    epochs: new Map(method === 'none' ? [] : [[1, Buffer.alloc(32, 2)]]),
    currentEpoch: method === 'none' ? 0 : 1,
  }
  return { keys, kind: 'pack', key: 'bench/packs/1' }
}

/** Rows with digests, numbers and words: about as compressible as real tables are. */
function tableContent(): Buffer {
  const rows: string[] = []
  for (let row = 0, length = 0; length < chunkBytes; row += 1) {
    const digest = createHash('md5').update(String(row)).digest('hex')
    const text = `${row}\t${digest}\t${(row * 7919) % 100_003}.50\t2026-03-${(row % 28) + 1}\tuser${row}@example.com\n`
    rows.push(text)
    length += text.length
  }
  return Buffer.from(rows.join('')).subarray(0, chunkBytes)
}
