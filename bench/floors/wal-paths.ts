import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { FileMemory } from '../../src/archive/file-memory.ts'
import { sealWholeFile, type SealRequest } from '../../src/archive/seal-whole-file.ts'
import { toWalSegmentSize } from '../../src/domain/wal-segment.ts'
import { readWalRecords, type WalSegmentBytes } from '../../src/wal/record-reader.ts'
import { scanSegment } from '../../src/wal/scan-segment.ts'
import { validateSegment, type ExpectedSegment } from '../../src/wal/validate-segment.ts'
import { mainData, WalBuilder } from '../../test/support/wal-builder.ts'
import { gigabytes, type HotPath } from './hot-path.ts'
import { tableContent } from './table-content.ts'
import { buildTransactions } from './wal-transactions.ts'

const segmentBytes = 16 * 1024 * 1024
const shape = { major: 16, startLsn: 0x1000000n, segmentSize: segmentBytes, systemIdentifier: 7n } as const
const name = '000000010000000000000001'

/** The shortest and the longest record body of the segment; every 50th is a full page. */
const bodyBytes = { least: 30, most: 280, page: 8000 } as const

/** What happens to every segment, but for storing it. */
export function walPaths(scratchFolder: string): readonly HotPath[] {
  const segment = buildSegment()
  const transactions = buildTransactions(shape)
  const path = join(scratchFolder, name)
  writeFileSync(path, segment.bytes)
  const expected: ExpectedSegment = {
    name,
    segmentSize: toWalSegmentSize(segmentBytes),
    systemIdentifier: shape.systemIdentifier,
    major: shape.major,
    history: undefined,
  }
  const sealing = {
    repositoryId: Buffer.alloc(16, 1),
    method: 'aes-256-gcm',
    epochs: new Map([[1, Buffer.alloc(32, 2)]]),
    currentEpoch: 1,
  } as const
  const request: SealRequest = {
    path,
    fileName: name,
    compressionLevel: 1,
    places: [{ clusterId: '00000000000000aa', namesKey: Buffer.alloc(32, 3), sealing }],
  }
  const memory = new FileMemory()
  const file = { firstPage: segment.bytes.subarray(0, 8192), sizeBytes: segmentBytes }
  const amount = gigabytes(segmentBytes)
  return [
    { name: 'read WAL records', per: 'GB', amount, run: () => countRecords(segment) },
    { name: 'scan segments', per: 'GB', amount, run: () => scanSegment(transactions.bytes, transactions) },
    { name: 'validate segments', per: 'GB', amount, run: () => validateSegment(file, expected) },
    { name: 'read and seal a segment', per: 'GB', amount, run: () => sealWholeFile(request, memory) },
  ]
}

function countRecords(segment: WalSegmentBytes): number {
  const records = readWalRecords([segment])
  let count = 0
  while (records.next().done !== true) count += 1
  return count
}

/** A full segment of records of many lengths. */
function buildSegment(): WalSegmentBytes {
  const content = tableContent(1024 * 1024)
  const builder = new WalBuilder(shape)
  for (let count = 0; builder.segments.length < 2; count += 1) {
    const spread = bodyBytes.least + ((count * 7919) % (bodyBytes.most - bodyBytes.least))
    const length = count % 50 === 49 ? bodyBytes.page : spread
    const start = (count * 104_729) % (content.length - length)
    builder.append({ xid: count, body: mainData(content.subarray(start, start + length)) })
  }
  const [first] = builder.segments
  if (first === undefined) throw new Error('a segment was built')
  return first
}
