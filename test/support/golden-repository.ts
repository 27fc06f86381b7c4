import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createPageKernel } from '../../src/codec/page-kernel.ts'
import { parseBackupLabel } from '../../src/domain/backup-label.ts'
import { parseLsn } from '../../src/domain/lsn.ts'
import { parseSystemIdentifier } from '../../src/domain/system-identifier.ts'
import { parseTargetTime } from '../../src/domain/target-time.ts'
import { toTimelineId } from '../../src/domain/timeline.ts'
import { toWalSegmentSize } from '../../src/domain/wal-segment.ts'
import { systemClock } from '../../src/platform/system-clock.ts'
import type { ClusterRecord } from '../../src/repository/cluster-record.ts'
import type { Unlocker } from '../../src/repository/key-slot.ts'
import type { ManifestEntry } from '../../src/repository/manifest-entry.ts'
import type { ManifestHead } from '../../src/repository/manifest-head.ts'
import type { WrittenPack } from '../../src/repository/manifest-writer.ts'
import { hashCountOf, type Piece } from '../../src/repository/pack-index.ts'
import { MemoryStore } from '../../src/storage/memory/memory-store.ts'
import { bytesOf, type SampleUnit } from './repository-samples.ts'

// What the golden repositories in test/golden/repository-v1 hold: scripts/write-golden-repository.ts wrote it once, with
// random salts, and every later version must read it.

export type GoldenName = 'sealed' | 'plain'

export const goldenFolder = join(import.meta.dirname, '../golden/repository-v1')
export const goldenRootKey = Uint8Array.from({ length: 32 }, (_, index) => index)
export const goldenRepositoryId = Uint8Array.from({ length: 16 }, (_, index) => 0xf0 + index)
export const goldenCreatedAtMs = 1_771_500_000_000
export const goldenKeyFile: Unlocker = { kind: 'key-file', secret: bytesOf('0123456789abcdef'.repeat(4)) }
export const goldenPassphrase: Unlocker = { kind: 'passphrase', passphrase: 'correct horse battery staple' }
export const goldenSlotIds = { keyFile: '0000000000000001', passphrase: '0000000000000002' } as const

/** Derived from the repository's keys and the cluster's name. */
const goldenClusterIds = { sealed: '304e1d9c43e555ea', plain: '34af7bb1aa631edb' } as const

const cluster = {
  name: 'main',
  systemIdentifier: parseSystemIdentifier('7400000000000000001'),
  lineage: '0123456789abcdef0123456789abcdef',
  major: 18,
  walSegmentSize: toWalSegmentSize(16 * 1024 * 1024),
  createdAtMs: goldenCreatedAtMs + 1000,
}

export const goldenCluster = (name: GoldenName): ClusterRecord => ({ id: goldenClusterIds[name], ...cluster })

export const goldenFull = parseBackupLabel('20260219-153000F')
export const goldenIncr = parseBackupLabel('20260220-160000I')

const page = (fill: number): Uint8Array => new Uint8Array(8192).fill(fill)
const concat = (...parts: readonly Uint8Array[]): Uint8Array => Uint8Array.from(Buffer.concat(parts))

/** A piece with the hashes that a repository with this seed gives its blocks. */
function hashed(place: Omit<Piece, 'length' | 'blockHashes'>, raw: Uint8Array, seed: bigint): Piece {
  const kernel = createPageKernel({ inputBytes: 65_536, seed })
  kernel.input.set(raw)
  const blockHashes = new BigUint64Array(hashCountOf(raw.length))
  kernel.hashBlocks({ offset: 0, length: raw.length }, blockHashes)
  return { ...place, length: raw.length, blockHashes }
}

/** The units of the pack that each of the two backups wrote. */
export function goldenUnits(seed: bigint): {
  readonly full: readonly SampleUnit[]
  readonly incr: readonly SampleUnit[]
} {
  const relation = { root: 0, path: bytesOf('base/1/1259') }
  const version = bytesOf('18\n')
  const old = concat(page(1), page(2))
  const tail = bytesOf('a short last block')
  return {
    full: [
      {
        raw: concat(version, old),
        pieces: [
          hashed({ root: 0, path: bytesOf('PG_VERSION'), offset: 0 }, version, seed),
          hashed({ ...relation, offset: 0 }, old, seed),
        ],
      },
    ],
    incr: [
      { raw: page(3), pieces: [hashed({ ...relation, offset: 8192 }, page(3), seed)] },
      {
        raw: tail,
        pieces: [hashed({ root: 16_400, path: Uint8Array.of(0x6e, 0xff, 0xe9), offset: 0 }, tail, seed)],
      },
    ],
  }
}

/** `base/1/1259` has its first block in the pack of the full, its second in that of the incr, and then a hole. */
export const goldenEntries: readonly ManifestEntry[] = [
  { kind: 'directory', root: 0, path: bytesOf(''), owner: 0, mode: 0o700 },
  {
    kind: 'file',
    root: 0,
    path: bytesOf('PG_VERSION'),
    owner: 0,
    mode: 0o600,
    sizeBytes: 3,
    modifiedAtMs: 1_771_500_100_000,
    damagedBlocks: [],
    extents: [{ length: 3, source: { kind: 'unit', pack: 0, unit: 0, offset: 0 } }],
  },
  { kind: 'directory', root: 0, path: bytesOf('base'), owner: 0, mode: 0o700 },
  { kind: 'directory', root: 0, path: bytesOf('base/1'), owner: 0, mode: 0o700 },
  {
    kind: 'file',
    root: 0,
    path: bytesOf('base/1/1259'),
    owner: 0,
    mode: 0o600,
    sizeBytes: 1_064_960,
    modifiedAtMs: 1_771_603_200_123,
    damagedBlocks: [1, 129],
    extents: [
      { length: 8192, source: { kind: 'unit', pack: 0, unit: 0, offset: 3 } },
      { length: 8192, source: { kind: 'unit', pack: 1, unit: 0, offset: 0 } },
      { length: 1_048_576, source: { kind: 'zeros' } },
    ],
  },
  { kind: 'link', root: 0, path: bytesOf('pg_wal'), owner: 1, target: bytesOf('/srv/wal') },
  { kind: 'directory', root: 16_400, path: bytesOf(''), owner: 0, mode: 0o700 },
  {
    kind: 'file',
    root: 16_400,
    path: Uint8Array.of(0x6e, 0xff, 0xe9),
    owner: 0,
    mode: 0o640,
    sizeBytes: 18,
    modifiedAtMs: 0,
    damagedBlocks: [],
    extents: [{ length: 18, source: { kind: 'unit', pack: 1, unit: 1, offset: 0 } }],
  },
]

/** How much of each pack `goldenEntries` refer to. */
const goldenLiveBytes = [3 + 8192, 8192 + 18] as const

export function goldenHead(packs: readonly WrittenPack[]): Omit<ManifestHead, 'parts'> {
  return {
    backup: {
      label: goldenIncr,
      type: 'incr',
      major: 18,
      timeline: toTimelineId(10),
      startLsn: parseLsn('1/2000028'),
      stopLsn: parseLsn('1/2000100'),
      startedAt: parseTargetTime('2026-02-20T16:00:00.000001Z'),
      stoppedAt: parseTargetTime('2026-02-20T16:01:00Z'),
      fileCount: 3,
      restoredBytes: 1_064_981,
      storedBytes: 4711,
      damagedPageCount: 2,
      revision: 1,
    },
    systemIdentifier: cluster.systemIdentifier,
    hasDataChecksums: true,
    walSegmentSize: cluster.walSegmentSize,
    serverVersion: '18.4',
    backupLabelFile: bytesOf('START WAL LOCATION: 1/2000028 (file 0000000A0000000100000002)\n'),
    tablespaceMap: bytesOf('16400 /srv/fast\n'),
    tablespaces: [
      { oid: 16_400, name: 'fast', location: '/srv/fast' },
      { oid: 16_401, name: 'inside', location: undefined },
    ],
    owners: ['postgres:postgres', 'root:postgres'],
    packs: packs.map((pack, index) => {
      const liveBytes = goldenLiveBytes[index] ?? 0
      return { ...pack, liveBytes, rawBytes: liveBytes }
    }),
  }
}

/** The objects of a golden repository, in a store of their own. */
export async function goldenStore(name: GoldenName): Promise<MemoryStore> {
  const store = new MemoryStore(`golden ${name}`, systemClock)
  const folder = join(goldenFolder, name)
  const files = globSync('**', { cwd: folder, withFileTypes: true }).filter((entry) => entry.isFile())
  assert.ok(files.length > 0, `${folder} is empty`)
  for (const file of files) {
    const path = join(file.parentPath, file.name)
    await store.putIfAbsent(path.slice(folder.length + 1), readFileSync(path))
  }
  return store
}
