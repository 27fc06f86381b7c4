import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, test } from 'node:test'
import { toBytePath } from '../platform/byte-path.ts'
import { testContext } from '../../test/support/repository.ts'
import { blockSize, createPageKernel } from '../codec/page-kernel.ts'
import { toLsn } from '../domain/lsn.ts'
import type { SuspectPage } from './copy-protocol.ts'
import { recheckPages } from './recheck-pages.ts'
import { type Scan } from './scan.ts'

const startLsn = toLsn(0x1_0500_0028n)
const before = startLsn - 1n
const blockHashSeed = 7n

describe('recheckPages', () => {
  test('counts a page that is good on the second read but was not written since the start (R13)', async () => {
    using file = relation('base/5/20000', [page(0, before)])

    assert.deepEqual(await recheck(file, [bad(0)]), [[0, [0]]])
  })

  test('passes over a page that was written since the start: the WAL repairs it (R13)', async () => {
    using file = relation('base/5/20000', [page(0, startLsn), page(1, 0x2_0000_0000n)])

    assert.deepEqual(await recheck(file, [bad(0), bad(1)]), [])
  })

  test('passes over a page of an index that is being built, which has no LSN of the WAL yet', async () => {
    using file = relation('base/5/20000', [page(0, 1n)])

    assert.deepEqual(await recheck(file, [bad(0)]), [])
  })

  test('passes over maps, which are written without a new LSN and made anew when they are bad', async () => {
    for (const path of ['base/5/20000_vm', 'base/5/20000_fsm']) {
      using file = relation(path, [page(0, before)])

      assert.deepEqual(await recheck(file, [bad(0)]), [])
    }
  })

  test('counts pages that stay bad, of each file in the order of their blocks', async () => {
    const spoilt = [damagedPage(1), damagedPage(2), damagedPage(3)]
    using file = relation('base/5/20000', spoilt)

    const suspects = [2, 0, 1].map((block) => bad(block, hashOf(spoilt[block])))

    assert.deepEqual(await recheck(file, suspects), [[0, [0, 1, 2]]])
  })

  test('looks again at a page that is bad in another way each time, until it is good or stays (R13)', async () => {
    using becomesGood = relation('base/5/20000', [damagedPage(1)])
    using staysBad = relation('base/5/20001', [damagedPage(1)])

    const good = await recheck(becomesGood, [bad(0)], (pause) => {
      becomesGood.write(pause < 3 ? damagedPage(pause) : page(0, startLsn))
    })
    const damaged = await recheck(staysBad, [bad(0)], (pause) => {
      staysBad.write(damagedPage(Math.min(pause, 3)))
    })

    assert.deepEqual(good, [])
    assert.deepEqual(damaged, [[0, [0]]])
  })

  test('never counts a page that changes all the time, and ends', async () => {
    using file = relation('base/5/20000', [damagedPage(0)])
    let pauses = 0

    const found = await recheck(file, [bad(0)], (pause) => {
      pauses = pause
      file.write(damagedPage(pause))
    })

    assert.deepEqual(found, [])
    assert.ok(pauses <= 5)
  })

  test('passes over what was truncated or dropped meanwhile', async () => {
    using file = relation('base/5/20000', [damagedPage(0)])

    assert.deepEqual(await recheck(file, [bad(0, hashOf(damagedPage(0)))], file.truncate), [])
    assert.deepEqual(await recheck({ scan: scanOf('/nowhere', 'base/5/1') }, [bad(0)]), [])
  })
})

const kernel = createPageKernel({ inputBytes: blockSize, seed: blockHashSeed })

/** A page that was bad when it was copied; without a hash it looked like nothing that is in the file later. */
const bad = (block: number, hash = 1n): SuspectPage => ({ file: 0, block, hash })

/** Finds the checksum by trying all: so it is right by what the kernel says, which is proven elsewhere. */
function page(block: number, lsn: bigint): Buffer {
  const bytes = Buffer.alloc(blockSize, 3)
  bytes.writeUInt32LE(Number(lsn >> 32n), 0)
  bytes.writeUInt32LE(Number(lsn & 0xffff_ffffn), 4)
  kernel.input.set(bytes)
  const checksum = new DataView(kernel.input.buffer, kernel.input.byteOffset + 8, 2)
  for (let tried = 1; tried < 65_536; tried += 1) {
    checksum.setUint16(0, tried, true)
    if (kernel.checkPages({ offset: 0, length: blockSize }, block).length === 0)
      return Buffer.from(kernel.input)
  }
  assert.fail('a page has a checksum')
}

/** Its checksum is wrong in any block: all of it is filled with one byte. */
const damagedPage = (fill: number): Buffer => Buffer.alloc(blockSize, 0x50 + fill)

function hashOf(bytes: Uint8Array = assert.fail()): bigint {
  const hashes = new BigUint64Array(1)
  kernel.input.set(bytes)
  kernel.hashBlocks({ offset: 0, length: blockSize }, hashes)
  return hashes[0] ?? assert.fail()
}

interface Relation extends Disposable {
  readonly scan: Scan
  readonly write: (content: Buffer) => void
  readonly truncate: () => void
}

function relation(path: string, pages: readonly Buffer[]): Relation {
  const folder = mkdtempSync(join(tmpdir(), 'hf-recheck-'))
  const place = join(folder, path)
  mkdirSync(dirname(place), { recursive: true })
  writeFileSync(place, Buffer.concat(pages))
  return {
    scan: scanOf(folder, path),
    write: (content) => writeFileSync(place, content),
    truncate: () => truncateSync(place, 100),
    [Symbol.dispose]: () => rmSync(folder, { recursive: true }),
  }
}

function scanOf(folder: string, path: string): Scan {
  const file = { root: 0, path, mode: 0o600, owner: 0, sizeBytes: 0, modifiedAtMs: 0, isFollowed: false }
  return {
    directories: [],
    files: [file],
    links: [],
    tablespaces: [],
    rootPaths: new Map([[0, toBytePath(Buffer.from(folder))]]),
    owners: ['postgres:postgres'],
    totalBytes: 0,
  }
}

/** `onPause` stands for what the server does between two reads; pauses count from 1. */
async function recheck(
  { scan }: Pick<Relation, 'scan'>,
  suspects: readonly SuspectPage[],
  onPause: (pause: number) => void = () => undefined,
): Promise<readonly (readonly [number, readonly number[]])[]> {
  let pauses = 0
  const sleep = (): Promise<void> => {
    onPause((pauses += 1))
    return Promise.resolve()
  }
  const context = testContext({ clock: { now: () => 0, monotonic: () => 0, sleep } })
  return [...(await recheckPages({ scan, suspects, blockHashSeed, startLsn }, context))]
}
