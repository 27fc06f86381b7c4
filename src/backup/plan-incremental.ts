import type { RunContext } from '../domain/run-context.ts'
import { readManifestEntries } from '../repository/manifest-reader.ts'
import type { ManifestHead } from '../repository/manifest-head.ts'
import type { Repository } from '../repository/open-repository.ts'
import { hashCountOf, hashedBlockSize } from '../repository/pack-index.ts'
import type { ChangedBlocks } from '../wal/changed-blocks.ts'
import type { CopiedFiles } from './copied-files.ts'
import { cutSlice, GatheredSlices, wholeFile, type CopyTask, type Slice } from './copy-task.ts'
import { matchParent, type MatchedFile } from './match-parent.ts'
import { ParentHashes } from './parent-hashes.ts'
import { planFile, type BlockRange } from './plan-file.ts'
import type { Scan } from './scan.ts'

/** The backup that an incremental goes on from, and what the WAL says has changed since. */
export interface Lineage {
  readonly repository: Repository
  readonly clusterId: string
  readonly head: ManifestHead
  /** Undefined when it is not proven: then everything is read, and what the parent has already is not stored again. */
  readonly changes: ChangedBlocks | undefined
  /** Everything is read and compared with what the WAL says. */
  readonly isAudit: boolean
}

interface Planning {
  readonly scan: Scan
  readonly hasChecksums: boolean
  readonly lineage: Lineage
}

/** How much an incremental backup will read, for the plan and for the progress. */
export interface ReadingPlan {
  readonly readBytes: number
  /** By how they are read. */
  readonly newFiles: number
  readonly comparedFiles: number
  /** Of which only blocks are read that the WAL names. */
  readonly changedFiles: number
  /** Of which nothing is read. */
  readonly unchangedFiles: number
}

/** Walks the parent's manifest once and reads nothing else. */
export async function measureIncremental(
  { scan, lineage }: Pick<Planning, 'scan' | 'lineage'>,
  context: RunContext,
): Promise<ReadingPlan> {
  const plan = { readBytes: 0, newFiles: 0, comparedFiles: 0, changedFiles: 0, unchangedFiles: 0 }
  for await (const matched of matchLineage({ scan, lineage }, context)) {
    const reading = planFile({ ...matched, changes: lineage.changes })
    const { sizeBytes } = matched.file
    switch (reading.kind) {
      case 'new':
        plan.newFiles += 1
        plan.readBytes += sizeBytes
        break
      case 'compared':
        plan.comparedFiles += 1
        plan.readBytes += sizeBytes
        break
      case 'blocks':
        if (reading.ranges.length === 0) plan.unchangedFiles += 1
        else plan.changedFiles += 1
        plan.readBytes += lineage.isAudit ? sizeBytes : bytesOf(reading.ranges, sizeBytes)
    }
  }
  return plan
}

/**
 * The tasks of an incremental backup, in the order of the scan, each planned when it is asked for. What is not read
 * because the WAL proves it to be the parent's is told to `copied`.
 */
export async function* planIncrementalTasks(
  { scan, hasChecksums, lineage }: Planning,
  copied: CopiedFiles,
  context: RunContext,
): AsyncGenerator<CopyTask> {
  const gathered = new GatheredSlices()
  const hashes = new ParentHashes(lineage)
  for await (const matched of matchLineage({ scan, lineage }, context)) {
    const whole = wholeFile(matched, hasChecksums)
    if (whole === undefined) continue
    const { slices, keptBytes } = slicesOf(matched, whole, lineage)
    copied.keep(matched.index, keptBytes)
    for (const { isCompared, ...slice } of slices) {
      const known =
        isCompared && matched.parent !== undefined
          ? await hashes.of(matched.parent, slice, context)
          : undefined
      const task = gathered.add(known === undefined ? slice : { ...slice, known })
      if (task !== undefined) yield task
    }
  }
  const rest = gathered.rest()
  if (rest !== undefined) yield rest
}

function matchLineage(
  { scan, lineage: { repository, clusterId, head } }: Pick<Planning, 'scan' | 'lineage'>,
  context: RunContext,
): AsyncGenerator<MatchedFile> {
  return matchParent(scan.files, readManifestEntries(repository, { clusterId, head }, context))
}

interface PlannedSlice extends Slice {
  readonly isCompared: boolean
}

interface PlannedFile {
  readonly slices: Iterable<PlannedSlice>
  readonly keptBytes: number
}

function slicesOf(matched: MatchedFile, whole: Slice, { changes, isAudit }: Lineage): PlannedFile {
  const reading = planFile({ ...matched, changes })
  switch (reading.kind) {
    case 'new':
      return { slices: allOf(whole, false), keptBytes: 0 }
    case 'compared':
      return { slices: allOf(whole, true), keptBytes: 0 }
    case 'blocks':
      return isAudit
        ? { slices: audited(whole, reading.ranges), keptBytes: 0 }
        : {
            slices: rangesOf(whole, reading.ranges),
            keptBytes: whole.length - bytesOf(reading.ranges, whole.length),
          }
  }
}

function* allOf(whole: Slice, isCompared: boolean): Generator<PlannedSlice> {
  for (const slice of cutSlice(whole)) yield { ...slice, isCompared }
}

function* rangesOf(whole: Slice, ranges: readonly BlockRange[]): Generator<PlannedSlice> {
  for (const { first, end } of ranges) {
    const offset = first * hashedBlockSize
    const length = Math.min(end * hashedBlockSize, whole.length) - offset
    for (const slice of cutSlice({ ...whole, offset, length })) yield { ...slice, isCompared: false }
  }
}

/** All of the file, with what the WAL says of each block. */
function* audited(whole: Slice, ranges: readonly BlockRange[]): Generator<PlannedSlice> {
  for (const slice of cutSlice(whole)) {
    const first = slice.offset / hashedBlockSize
    const named = new Uint8Array(hashCountOf(slice.length))
    for (const range of ranges)
      named.fill(1, clamp(range.first - first, named), clamp(range.end - first, named))
    yield { ...slice, named, isCompared: true }
  }
}

const clamp = (index: number, { length }: Uint8Array): number => Math.max(0, Math.min(length, index))

const bytesOf = (ranges: readonly BlockRange[], sizeBytes: number): number =>
  ranges.reduce(
    (sum, { first, end }) => sum + Math.min(end * hashedBlockSize, sizeBytes) - first * hashedBlockSize,
    0,
  )
