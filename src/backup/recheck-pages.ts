import { open } from 'node:fs/promises'
import { blockSize, createPageKernel, type PageKernel } from '../codec/page-kernel.ts'
import type { RunContext } from '../domain/run-context.ts'
import { firstBlockOf, parseRelationPath } from '../postgres/page-layout.ts'
import type { SuspectPage } from './copy-protocol.ts'
import { fromBytePath, joinBytePath, type Scan } from './scan.ts'

/** Long enough for a write that was under way to be over. */
const pauseMs = 150
const mostReads = 5

/**
 * Tells damaged pages from pages that were being written when they were read (R13): a page whose checksum is wrong in two
 * reads of the same bytes, with a pause between, is damaged; one that changed meanwhile is looked at again. What is in
 * flux the WAL repairs. Gives the damaged blocks of each file, ascending. Reads data files: call it before the backup
 * stops.
 */
export async function recheckPages(
  { scan, suspects, blockHashSeed }: { scan: Scan; suspects: readonly SuspectPage[]; blockHashSeed: bigint },
  context: RunContext,
): Promise<ReadonlyMap<number, readonly number[]>> {
  const damaged = new Map<number, number[]>()
  const kernel = createPageKernel({ inputBytes: blockSize, seed: blockHashSeed })
  let undecided = suspects
  for (let read = 1; read < mostReads && undecided.length > 0; read += 1) {
    await context.clock.sleep(pauseMs, context.signal)
    const next: SuspectPage[] = []
    for (const suspect of undecided) {
      const now = await readPage(scan, suspect, kernel)
      if (now === undefined || now.isGood) continue
      if (now.hash === suspect.hash)
        damaged.set(suspect.file, [...(damaged.get(suspect.file) ?? []), suspect.block])
      else next.push({ ...suspect, hash: now.hash })
    }
    undecided = next
  }
  for (const blocks of damaged.values()) blocks.sort((one, other) => one - other)
  return damaged
}

async function readPage(
  scan: Scan,
  { file, block }: SuspectPage,
  kernel: PageKernel,
): Promise<{ readonly isGood: boolean; readonly hash: bigint } | undefined> {
  const scanned = scan.files[file]
  if (scanned === undefined) return undefined
  const { root, path } = scanned
  const relation = parseRelationPath(root === 0 ? path : joinBytePath(`pg_tblspc/${root}`, path))
  if (relation === undefined) return undefined
  const place = Buffer.concat([fromBytePath(scan.rootPaths.get(root) ?? ''), fromBytePath(`/${path}`)])
  const length = await readBlock(place, kernel.input, block)
  if (length < blockSize) return undefined // truncated or dropped meanwhile: the WAL knows
  const hashes = new BigUint64Array(1)
  const whole = { offset: 0, length: blockSize }
  kernel.hashBlocks(whole, hashes)
  const isGood = kernel.checkPages(whole, firstBlockOf(relation) + block).length === 0
  return { isGood, hash: hashes[0] ?? 0n }
}

async function readBlock(place: Buffer, target: Uint8Array, block: number): Promise<number> {
  try {
    await using handle = await open(place, 'r')
    const { bytesRead } = await handle.read(target, 0, blockSize, block * blockSize)
    return bytesRead
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return 0
    throw cause
  }
}
