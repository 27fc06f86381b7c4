import { packPayload, unpackPayload } from '../../src/codec/compression.ts'
import { createPageKernel } from '../../src/codec/page-kernel.ts'
import { createObjectSealer, ObjectOpener, type ObjectIdentity } from '../../src/codec/sealed-object.ts'
import { releaseMemory } from '../../src/platform/release-memory.ts'
import { PackReader } from '../../src/repository/pack-reader.ts'
import { buildPack } from '../../test/support/sample-packs.ts'
import { gigabytes, type HotPath } from './hot-path.ts'
import { tableContent } from './table-content.ts'

const unitBytes = 1024 * 1024
const blockBytes = 8192

const keys = {
  repositoryId: Buffer.alloc(16, 1),
  method: 'aes-256-gcm',
  epochs: new Map([[1, Buffer.alloc(32, 2)]]),
  currentEpoch: 1,
} as const

/** What a backup and a restore do to every byte, by themselves and together. */
export function dataPaths(): readonly HotPath[] {
  const raw = tableContent(unitBytes)
  const kernel = createPageKernel({ inputBytes: unitBytes, seed: 1n })
  kernel.input.set(raw)
  const blockHashes = new BigUint64Array(unitBytes / blockBytes)
  const whole = { offset: 0, length: unitBytes }
  const payload = Buffer.concat(packPayload(raw, 3))
  const path = (name: string, run: () => unknown, bytes = unitBytes): HotPath => ({
    name,
    per: 'GB',
    amount: gigabytes(bytes),
    run,
  })
  return [
    path('page checksum', () => kernel.checkPages(whole, 0)),
    path('block hash', () => kernel.hashBlocks(whole, blockHashes)),
    path('compress, level 1', () => released(packPayload(raw, 1))),
    path('compress, level 3', () => released(packPayload(raw, 3))),
    path('decompress', () => released([unpackPayload(payload)])),
    ...sealPaths(raw).map(({ name, run }) => path(name, run)),
    ...packPaths(raw).map(({ name, run, bytes }) => path(name, run, bytes)),
  ]
}

/** As the workers do it: what is left to the garbage collector costs far more, and now and then. */
function released(parts: readonly Uint8Array[]): void {
  for (const part of parts) releaseMemory(part)
}

function sealPaths(raw: Uint8Array): { name: string; run: () => unknown }[] {
  const identity: ObjectIdentity = { keys, kind: 'pack', key: 'bench/packs/1' }
  const sealer = createObjectSealer(identity)
  const sealed = createObjectSealer(identity)
  const frame = Buffer.concat(sealed.sealFrame([raw], true))
  const opener = new ObjectOpener(sealed.header, identity)
  return [
    { name: 'seal', run: () => released(sealer.sealFrame([raw], false)) },
    { name: 'open', run: () => released([opener.openFrame(frame, 0, true)]) },
  ]
}

/** Eight units as a copy worker and an unpack worker have them. */
function packPaths(raw: Uint8Array): { name: string; run: () => unknown; bytes: number }[] {
  const piece = { root: 0, path: Buffer.from('base/5/16384'), offset: 0, length: unitBytes }
  const units = Array.from({ length: 8 }, (_, index) => ({
    raw,
    pieces: [
      { ...piece, offset: index * unitBytes, blockHashes: new BigUint64Array(unitBytes / blockBytes) },
    ],
  }))
  const target = { keys, key: 'bench/packs/1', compressionLevel: 1 }
  const { bytes } = buildPack(units, target)
  const readAll = (): void => {
    const reader = new PackReader(bytes, target)
    for (const number of units.keys()) reader.lendUnit(number, (content) => content.length)
  }
  return [
    { name: 'build a pack', run: () => buildPack(units, target), bytes: units.length * unitBytes },
    { name: 'read a pack', run: readAll, bytes: units.length * unitBytes },
  ]
}
