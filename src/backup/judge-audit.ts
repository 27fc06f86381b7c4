import { createPageKernel, type PageKernel } from '../codec/page-kernel.ts'
import { formatLsn, toLsn } from '../domain/lsn.ts'
import type { RunContext } from '../domain/run-context.ts'
import { fromBytePath, showBytePath, toBytePath } from '../platform/byte-path.ts'
import { hashedBlockSize } from '../repository/pack-index.ts'
import type { AuditBounds, UnexpectedBlock } from './copy-protocol.ts'
import { openUnlessGone } from './open-unless-gone.ts'
import { readPageLsn } from './page-lsn.ts'
import { ParentPages } from './parent-pages.ts'
import type { Lineage } from './plan-incremental.ts'
import type { Scan } from './scan.ts'

/** Long enough for a write that was under way to be over. */
const pauseMs = 150

/** Blocks that are looked at: 8 KiB of memory each, and of the compared ones a pack to be read each. */
const mostCertain = 1000
const mostCompared = 256

/** A block that the WAL should have named. */
export interface AuditDifference {
  /** For people: where the file is on this machine. */
  readonly path: string
  readonly block: number
  readonly pageLsn: string
  /** What was found, and what the parent has, in base64; undefined when it cannot be read any more. */
  readonly page: string | undefined
  readonly parentPage: string | undefined
}

export interface AuditJudging {
  readonly unexpected: readonly UnexpectedBlock[]
  readonly scan: Scan
  readonly bounds: AuditBounds
  readonly lineage: Lineage
}

/**
 * Which of the blocks that differ unexpectedly prove that the WAL did not name a change. Reads data files: call it before
 * the backup stops. Three kinds prove nothing: a page that was being written when it was read, one that has changed since
 * the backup began, and one with the LSN of the parent's page: whatever the WAL tells of gives a page a new LSN. What does
 * not are hint bits, which a server without checksums sets in silence, and which no server has that was recovered, or
 * promoted, from another; and what an SP-GiST index notes in its metapage (SpGistUpdateMetaPage in access/spgist/spgutils.c).
 */
export async function judgeAudit(judging: AuditJudging, context: RunContext): Promise<AuditDifference[]> {
  const { unexpected, scan, bounds, lineage } = judging
  if (unexpected.length === 0) return []
  await context.clock.sleep(pauseMs, context.signal)
  const { blockHashSeed } = lineage.repository.keys
  const kernel = createPageKernel({ inputBytes: hashedBlockSize, seed: blockHashSeed })
  const suspects: FoundBlock[] = []
  const judged = chooseJudged(unexpected, bounds)
  for (const [file, blocks] of Map.groupBy(judged, (block) => block.file)) {
    context.signal.throwIfAborted()
    for await (const found of rereadBlocks({ file, blocks, scan }, kernel))
      if (isStable(found, bounds)) suspects.push(found)
  }
  return compareWithParent(suspects, judging, context)
}

/**
 * All whose LSN proves a change, as far as they are needed as evidence. Of the others, of which there may be millions, as
 * many as their packs can be read for: evenly spread.
 */
function chooseJudged(
  unexpected: readonly UnexpectedBlock[],
  { fromLsn }: AuditBounds,
): readonly UnexpectedBlock[] {
  const certain = unexpected.filter(({ pageLsn }) => pageLsn >= fromLsn).slice(0, mostCertain)
  const others = unexpected.filter(({ pageLsn }) => pageLsn < fromLsn)
  const step = Math.max(1, others.length / mostCompared)
  const spread = Array.from(
    { length: Math.min(others.length, mostCompared) },
    (_, index) => others[Math.floor(index * step)],
  )
  return [...certain, ...spread.filter((block) => block !== undefined)]
}

/** A block as it was read for the backup and as it is now; no page when it is not there any more. */
interface FoundBlock extends UnexpectedBlock {
  readonly page: Uint8Array | undefined
  readonly pageHash: bigint
}

/** False for a page that is newer now than the start of the backup, unless what was read then is proof enough. */
function isStable(
  { page, pageHash, hash, pageLsn }: FoundBlock,
  { fromLsn, toLsn: end }: AuditBounds,
): boolean {
  if (pageLsn >= fromLsn) return true
  if (page === undefined) return false
  return pageHash === hash || readPageLsn(page) < end
}

async function* rereadBlocks(
  {
    file,
    blocks,
    scan,
  }: { readonly file: number; readonly blocks: readonly UnexpectedBlock[]; readonly scan: Scan },
  kernel: PageKernel,
): AsyncGenerator<FoundBlock> {
  const place = placeOf(file, scan)
  await using handle = await openUnlessGone(place)
  for (const block of blocks) {
    const offset = block.block * hashedBlockSize
    const read = await handle?.read(kernel.input, 0, hashedBlockSize, offset)
    if (read?.bytesRead !== hashedBlockSize) {
      yield { ...block, page: undefined, pageHash: 0n }
      continue
    }
    const hashes = new BigUint64Array(1)
    kernel.hashBlocks({ offset: 0, length: hashedBlockSize }, hashes)
    yield { ...block, page: kernel.input.slice(0, hashedBlockSize), pageHash: hashes[0] ?? 0n }
  }
}

async function compareWithParent(
  suspects: readonly FoundBlock[],
  { scan, lineage }: AuditJudging,
  context: RunContext,
): Promise<AuditDifference[]> {
  const differences: AuditDifference[] = []
  if (suspects.length === 0) return differences
  const parentPages = await ParentPages.find(suspects, { scan, lineage }, context)
  for (const { file, block, pageLsn, page } of suspects) {
    const parentPage = await parentPages.read({ file, block }, context)
    if (parentPage !== undefined && readPageLsn(parentPage) === pageLsn) continue
    differences.push({
      path: showBytePath(toBytePath(placeOf(file, scan))),
      block,
      pageLsn: formatLsn(toLsn(pageLsn)),
      page: page && Buffer.from(page).toString('base64'),
      parentPage: parentPage && Buffer.from(parentPage).toString('base64'),
    })
  }
  return differences
}

function placeOf(file: number, { files, rootPaths }: Scan): Buffer {
  const { root = 0, path = '' } = files[file] ?? {}
  return Buffer.concat([fromBytePath(rootPaths.get(root) ?? ''), fromBytePath(`/${path}`)])
}
