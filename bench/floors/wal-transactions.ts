import type { WalSegmentBytes } from '../../src/wal/record-reader.ts'
import { seededRandom, type Random } from '../../test/support/seeded-random.ts'
import { WalBuilder } from '../../test/support/wal-builder.ts'

/** Bytes of the parts of records, and every how many records one has a full page image: much as pgbench has them. */
const sizes = {
  update: 80,
  insert: 50,
  updateMain: 14,
  insertMain: 3,
  image: 6000,
  recordsPerImage: 60,
} as const
const relations = { accounts: 16_384, tellers: 16_390, branches: 16_396, history: 16_402 } as const
const accountBlocks = 50_000
const smallBlocks = 20

interface Change {
  readonly relation: number
  readonly block: number
  readonly dataBytes: number
  readonly mainBytes: number
  readonly imageBytes: number
}

/** A full segment of small transactions: three updates, an insertion and a commit each. */
export function buildTransactions(shape: ConstructorParameters<typeof WalBuilder>[0]): WalSegmentBytes {
  const random = seededRandom(1)
  const builder = new WalBuilder(shape)
  for (let xid = 1000; builder.segments.length < 2; xid += 1) {
    const account = { relation: relations.accounts, block: random(accountBlocks) }
    builder.append({ rmid: 10, info: 0x40, xid, body: changeBody(update(random, account)) })
    for (const relation of [relations.tellers, relations.branches]) {
      const body = changeBody(update(random, { relation, block: random(smallBlocks) }))
      builder.append({ rmid: 10, info: 0x40, xid, body })
    }
    const history = { relation: relations.history, block: xid >>> 7, imageBytes: 0 }
    const insert = { ...history, dataBytes: sizes.insert, mainBytes: sizes.insertMain }
    builder.append({ rmid: 10, info: 0x00, xid, body: changeBody(insert) })
    builder.append({ rmid: 1, info: 0x00, xid, body: Buffer.from([255, 8, 1, 2, 3, 4, 5, 6, 0, 0]) })
  }
  const [first] = builder.segments
  if (first === undefined) throw new Error('a segment was built')
  return first
}

function update(random: Random, place: Pick<Change, 'relation' | 'block'>): Change {
  const imageBytes = random(sizes.recordsPerImage) === 0 ? sizes.image : 0
  return { ...place, dataBytes: sizes.update, mainBytes: sizes.updateMain, imageBytes }
}

/** One block, its data, and main data, as access/xlogrecord.h has them. */
function changeBody({ relation, block, dataBytes, mainBytes, imageBytes }: Change): Uint8Array {
  const hasImage = imageBytes > 0
  const header = Buffer.from([0, 0x20 | (hasImage ? 0x10 : 0), dataBytes, 0])
  const image = hasImage ? Buffer.from([imageBytes & 0xff, imageBytes >>> 8, 100, 0, 1]) : Buffer.alloc(0)
  const place = Buffer.alloc(16)
  for (const [index, number] of [1663, 5, relation, block].entries()) place.writeUInt32LE(number, 4 * index)
  const data = Buffer.alloc(imageBytes + dataBytes + mainBytes, 'some row, some page')
  // No flags: neither a speculative row nor any other exception.
  data.fill(0, data.length - mainBytes)
  return Buffer.concat([header, image, place, Buffer.from([255, mainBytes]), data])
}
