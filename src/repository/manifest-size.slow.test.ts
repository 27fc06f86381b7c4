import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import {
  bytesOf,
  comparable,
  sampleClusterId,
  sampleFile,
  samplePackCount,
} from '../../test/support/repository-samples.ts'
import { testContext, testRepository } from '../../test/support/repository.ts'
import { storeManifest } from '../../test/support/sample-backup.ts'
import { seededRandom } from '../../test/support/seeded-random.ts'
import type { Extent, ManifestEntry } from './manifest-entry.ts'
import { readManifestEntries, readManifestHead } from './manifest-reader.ts'

const mebibyte = 1024 * 1024
const context = testContext()

/**
 * How large the process may become, all in all, while a manifest of any size is written and read. What is needed is a
 * part of 16 MiB, twice when it is put together, and a frame; the rest is Node and garbage that is not collected yet. A
 * million entries held at once would not fit.
 */
const mostBytes = 512 * mebibyte

/** Counts what passes, and notes how large the process becomes meanwhile. */
class Watch {
  count = 0
  peakBytes = 0

  look(): void {
    this.count += 1
    if (this.count < 1000 || this.count % 1000 === 0)
      this.peakBytes = Math.max(this.peakBytes, process.memoryUsage().rss)
  }
}

type EntryAt = (index: number) => ManifestEntry

function* watched(entryAt: EntryAt, count: number, watch: Watch): Generator<ManifestEntry> {
  for (let index = 0; index < count; index += 1) {
    watch.look()
    yield entryAt(index)
  }
}

/** A file of a cluster with many relations: most are small, in some hundred databases. */
function smallFile(index: number): ManifestEntry {
  const random = seededRandom(index)
  const sizeBytes = 8192 * random(32)
  const source = { kind: 'unit', pack: random(samplePackCount), unit: index % 4096, offset: 0 } as const
  const path = bytesOf(`base/${16_384 + Math.floor(index / 4096)}/${16_384_000 + index}`)
  const extents = sizeBytes === 0 ? [] : [{ length: sizeBytes, source }]
  return sampleFile('', { path, sizeBytes, extents, modifiedAtMs: 1_771_600_000_000 + random(2 ** 30) })
}

/** A file of 1 GiB every block of which is elsewhere: the worst that many incrementals can make of a relation. */
function scatteredFile(index: number): ManifestEntry {
  const random = seededRandom(index)
  const block = (): Extent => ({
    length: 8192,
    source: { kind: 'unit', pack: random(samplePackCount), unit: random(64), offset: 8192 * random(128) },
  })
  const extents = Array.from({ length: 131_072 }, block)
  return sampleFile(`base/16384/${16_384 + index}`, { sizeBytes: 1024 * mebibyte, extents })
}

describe('a manifest', () => {
  for (const { title, entryAt, count, mostStoredBytes } of [
    { title: '1,000,000 files', entryAt: smallFile, count: 1_000_000, mostStoredBytes: 20 * mebibyte },
    {
      title: '16 files of 131,072 extents each',
      entryAt: scatteredFile,
      count: 16,
      mostStoredBytes: 16 * mebibyte,
    },
  ]) {
    test(`of ${title} is written and read back as a stream`, async (t) => {
      const repository = await testRepository(context)
      const writing = new Watch()
      const stored = await storeManifest(repository, watched(entryAt, count, writing), context)
      const reading = new Watch()
      const head = await readManifestHead(repository, stored, context)
      const read = readManifestEntries(repository, { clusterId: sampleClusterId, head }, context)
      for await (const entry of read) {
        reading.look()
        if (reading.count % 997 !== 1) continue
        assert.ok(isDeepStrictEqual(comparable(entry), comparable(entryAt(reading.count - 1))))
      }

      assert.equal(writing.count, count)
      assert.equal(reading.count, count)
      const peaks = [writing.peakBytes, reading.peakBytes]
      t.diagnostic(`${stored.storedBytes} bytes stored, at most ${peaks.join(' and ')} bytes in memory`)
      assert.ok(stored.storedBytes < mostStoredBytes, `${stored.storedBytes} bytes`)
      // The process never becomes smaller again: only the first test says something about memory.
      if (count === 1_000_000) for (const peak of peaks) assert.ok(peak < mostBytes, `${peak} bytes`)
    })
  }
})
