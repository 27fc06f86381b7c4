import { seededRandom, type Random } from './seeded-random.ts'
import { WalBuilder } from './wal-builder.ts'
import type { WalMajor } from '../../src/wal/page-header.ts'
import type { WalSegmentBytes } from '../../src/wal/record-reader.ts'

/** Numbers of resource managers and operations that the samples use: access/rmgrlist.h. */
const kinds = [
  { rmid: 10, info: 0x00 },
  { rmid: 10, info: 0x10 },
  { rmid: 10, info: 0x20 },
  { rmid: 9, info: 0x50 },
  { rmid: 11, info: 0x00 },
  { rmid: 21, info: 0x00 },
  { rmid: 1, info: 0x00 },
  { rmid: 1, info: 0x20 },
  { rmid: 0, info: 0xa0 },
] as const

/** Of segments of 1 MiB; two are the last ones before the lower half of an LSN begins anew. */
const startLsns = [0x100000n, 0xfff0_0000n, 0x1234_fff0_0000n]

/** WAL of many sorts of records, each right in itself: with blocks, images, origins, and short and long main data. */
export function sampleWal(seed: number, major: WalMajor): readonly WalSegmentBytes[] {
  const random = seededRandom(seed)
  const builder = new WalBuilder({ major, startLsn: startLsns[seed % startLsns.length] ?? 0x100000n })
  const wanted = 1 + random(400)
  for (let count = 0; count < wanted && builder.segments.length < 4; count += 1) {
    if (random(300) === 0) {
      builder.switchSegment()
    } else {
      const kind = kinds[random(kinds.length)] ?? kinds[0]
      builder.append({ ...kind, xid: random(3) === 0 ? 0 : 700 + random(20), body: sampleBody(random) })
    }
  }
  return builder.segments
}

/** Everything behind a record's header. Images are not compressed. */
function sampleBody(random: Random): Uint8Array {
  const headers: Buffer[] = []
  const data: Buffer[] = []
  const blockCount = random(4) === 0 ? random(6) : random(2)
  for (let block = 0; block < blockCount; block += 1) addBlock(random, block, { headers, data })
  if (random(10) === 0) headers.push(Buffer.from([253, 1, 0]))
  if (random(10) === 0) headers.push(Buffer.from([252, 1, 2, 0, 0]))
  const length = random(40) === 0 ? random(40_000) : 8 + random(200)
  const head = Buffer.alloc(length < 256 ? 2 : 5)
  head.writeUInt8(length < 256 ? 255 : 254, 0)
  if (length < 256) head.writeUInt8(length, 1)
  else head.writeUInt32LE(length, 1)
  return Buffer.concat([...headers, head, ...data, noise(random, length)])
}

function addBlock(random: Random, id: number, to: { headers: Buffer[]; data: Buffer[] }): void {
  const isSame = id > 0 && random(2) === 0
  const image = random(20) === 0 ? noise(random, 8000) : Buffer.alloc(0)
  const data = noise(random, random(3) === 0 ? 0 : 1 + random(100))
  const bits = random(3) | (image.length > 0 ? 0x10 : 0) | (data.length > 0 ? 0x20 : 0) | (isSame ? 0x80 : 0)
  to.headers.push(Buffer.from([id, bits, data.length, 0]))
  if (image.length > 0) to.headers.push(Buffer.from([image.length & 0xff, image.length >> 8, 100, 0, 0x01]))
  to.headers.push(sampleLocation(random, isSame))
  to.data.push(image, data)
}

/** RelFileLocator, unless it is the one before; the block's number. */
function sampleLocation(random: Random, isSame: boolean): Buffer {
  const location = Buffer.alloc(isSame ? 4 : 16)
  if (!isSame) {
    location.writeUInt32LE(1663, 0)
    location.writeUInt32LE(5 + random(2), 4)
    location.writeUInt32LE(16_384 + random(4), 8)
  }
  location.writeUInt32LE(random(5000), location.length - 4)
  return location
}

function noise(random: Random, length: number): Buffer {
  return Buffer.alloc(length, Buffer.from([random(256), random(256), 1, 0, 0, 0, 0]))
}
