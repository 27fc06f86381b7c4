import { fromBytePath, joinBytePath } from '../platform/byte-path.ts'
import { blockSize, createPageKernel, type PageKernel } from '../codec/page-kernel.ts'
import type { Lsn } from '../domain/lsn.ts'
import type { RunContext } from '../domain/run-context.ts'
import { firstBlockOf, parseRelationPath, type RelationFile } from '../postgres/page-layout.ts'
import type { SuspectPage } from './copy-protocol.ts'
import { openUnlessGone } from './open-unless-gone.ts'
import { readPageLsn } from './page-lsn.ts'
import { type Scan, type ScannedFile } from './scan.ts'

/** Long enough for a write that was under way to be over. */
const pauseMs = 150
const mostReads = 5
const smallestSegmentBytes = 1024n * 1024n

export interface RecheckRequest {
  readonly scan: Scan
  readonly suspects: readonly SuspectPage[]
  readonly blockHashSeed: bigint
  /** Where the backup starts: what was written from here on the WAL repairs. */
  readonly startLsn: Lsn
}

/**
 * Tells damaged pages from pages that were being written when they were read (R13), and gives the damaged blocks of each
 * file, ascending. Reads data files: call it before the backup stops.
 *
 * A page whose checksum is wrong in two reads of the same bytes, with a pause between, is damaged; one that changed
 * meanwhile is looked at again. One that is good now was being written, if its LSN says so: then the WAL repairs what
 * was stored. If not, the bad bytes came from elsewhere (disk, memory, network) and are in the backup for good. Only
 * visibility and free space maps may be written without a new LSN; the server makes those anew when they are bad.
 */
export async function recheckPages(
  { scan, suspects, blockHashSeed, startLsn }: RecheckRequest,
  context: RunContext,
): Promise<ReadonlyMap<number, readonly number[]>> {
  const damaged = new Map<number, number[]>()
  const kernel = createPageKernel({ inputBytes: blockSize, seed: blockHashSeed })
  let undecided = suspects
  for (let read = 1; read < mostReads && undecided.length > 0; read += 1) {
    await context.clock.sleep(pauseMs, context.signal)
    const next: SuspectPage[] = []
    for await (const [suspect, verdict] of judgePages({ scan, pages: undecided, kernel, startLsn })) {
      context.signal.throwIfAborted()
      if (verdict.kind === 'damaged') add(damaged, suspect.file, suspect.block)
      else if (verdict.kind === 'changed') next.push({ ...suspect, hash: verdict.hash })
    }
    undecided = next
  }
  return new Map([...damaged].map(([file, blocks]) => [file, blocks.toSorted((one, other) => one - other)]))
}

function add(damaged: Map<number, number[]>, file: number, block: number): void {
  const blocks = damaged.get(file)
  if (blocks === undefined) damaged.set(file, [block])
  else blocks.push(block)
}

type Verdict =
  | { readonly kind: 'in flux' }
  | { readonly kind: 'damaged' }
  | { readonly kind: 'changed'; readonly hash: bigint }

interface Judging {
  readonly scan: Scan
  readonly pages: readonly SuspectPage[]
  readonly kernel: PageKernel
  readonly startLsn: Lsn
}

type Judged = readonly [SuspectPage, Verdict]

/** One file open at a time. Pages of files that are gone or shorter now are left out: the WAL knows. */
async function* judgePages(judging: Judging): AsyncGenerator<Judged> {
  for (const [file, pages] of Map.groupBy(judging.pages, (page) => page.file)) {
    const scanned = judging.scan.files[file]
    if (scanned !== undefined) yield* judgeFile(scanned, { ...judging, pages })
  }
}

async function* judgeFile({ root, path }: ScannedFile, judging: Judging): AsyncGenerator<Judged> {
  const { scan, pages, kernel, startLsn } = judging
  const relation = parseRelationPath(root === 0 ? path : joinBytePath(`pg_tblspc/${root}`, path))
  const place = Buffer.concat([fromBytePath(scan.rootPaths.get(root) ?? ''), fromBytePath(`/${path}`)])
  await using handle = await openUnlessGone(place)
  if (handle === undefined || relation === undefined) return
  for (const page of pages) {
    const { bytesRead } = await handle.read(kernel.input, 0, blockSize, page.block * blockSize)
    if (bytesRead === blockSize) yield [page, judge(page, { relation, kernel, startLsn })]
  }
}

function judge(
  page: SuspectPage,
  { relation, kernel, startLsn }: { relation: RelationFile; kernel: PageKernel; startLsn: Lsn },
): Verdict {
  const whole = { offset: 0, length: blockSize }
  const isGood = kernel.checkPages(whole, firstBlockOf(relation) + page.block).length === 0
  if (isGood)
    return isWrittenSince(kernel.input, relation, startLsn) ? { kind: 'in flux' } : { kind: 'damaged' }
  const hashes = new BigUint64Array(1)
  kernel.hashBlocks(whole, hashes)
  const hash = hashes[0] ?? 0n
  return hash === page.hash ? { kind: 'damaged' } : { kind: 'changed', hash }
}

function isWrittenSince(page: Uint8Array, { fork }: RelationFile, startLsn: Lsn): boolean {
  if (fork === 'vm' || fork === 'fsm') return true
  const lsn = readPageLsn(page)
  // Below the first segment there is no WAL: index builds stamp pages so that are logged when the build is done.
  return lsn >= startLsn || lsn < smallestSegmentBytes
}
