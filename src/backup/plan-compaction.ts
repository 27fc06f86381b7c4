import { formatByteSize } from '../domain/byte-size.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { toBytePath } from '../platform/byte-path.ts'
import { packKey } from '../repository/object-keys.ts'
import { PackReader } from '../repository/pack-reader.ts'
import type { IndexedEntry } from './assemble-files.ts'
import { choosePacks, type UsedPack } from './choose-packs.ts'
import { GatheredSlices, type CopyTask, type Slice } from './copy-task.ts'
import type { Lineage } from './plan-incremental.ts'

/** A run of a file that lies in a pack which is to be emptied. */
interface MovedRun {
  readonly file: number
  readonly root: number
  readonly path: string
  readonly offset: number
  readonly length: number
  readonly unit: number
  readonly unitOffset: number
}

interface Compaction {
  readonly lineage: Lineage
  /** The files of the backup as they would be in its manifest now, with their indexes in the scan. Asked for twice. */
  readonly files: () => AsyncIterable<IndexedEntry>
  readonly storedBytes: number
}

/**
 * Tasks that store live bytes of mostly dead packs of the parent anew, so that neither a restore nor the repository grows
 * with the number of incrementals. Holds the runs of the chosen packs, and one pack at a time.
 */
export async function* planCompaction(
  { lineage, files, storedBytes }: Compaction,
  context: RunContext,
): AsyncGenerator<CopyTask> {
  const { packs, liveBytes } = await measurePacks(lineage, files)
  const chosen = choosePacks(packs, { liveBytes, storedBytes })
  if (chosen.length === 0) return
  const movedBytes = chosen.reduce((sum, pack) => sum + pack.liveBytes, 0)
  context.report({
    kind: 'note',
    message: `moving ${formatByteSize(movedBytes)} out of ${chosen.length} packs of older backups that are mostly not needed any more`,
  })
  const runs = await findRuns(new Set(chosen.map(({ index }) => index)), files)
  const gathered = new GatheredSlices()
  for (const { index } of chosen) {
    const reader = await openPack(lineage, index, context)
    for (const slice of slicesFrom(reader, runs.get(index) ?? [])) {
      const task = gathered.add(slice)
      if (task !== undefined) yield task
    }
  }
  const rest = gathered.rest()
  if (rest !== undefined) yield rest
}

async function measurePacks(
  { head }: Lineage,
  files: Compaction['files'],
): Promise<{ readonly packs: readonly UsedPack[]; readonly liveBytes: number }> {
  const live = new Float64Array(head.packs.length)
  let liveBytes = 0
  for await (const { entry } of files()) {
    for (const { length, source } of entry.extents) {
      if (source.kind === 'zeros') continue
      liveBytes += length
      if (source.pack < live.length) live[source.pack] = (live[source.pack] ?? 0) + length
    }
  }
  const packs = head.packs.map(({ rawBytes }, index) => ({ index, rawBytes, liveBytes: live[index] ?? 0 }))
  return { packs, liveBytes }
}

async function findRuns(
  chosen: ReadonlySet<number>,
  files: Compaction['files'],
): Promise<ReadonlyMap<number, readonly MovedRun[]>> {
  const runs = new Map<number, MovedRun[]>([...chosen].map((index) => [index, []]))
  for await (const { index, entry } of files()) {
    let offset = 0
    for (const { length, source } of entry.extents) {
      if (source.kind === 'unit') {
        const { unit, offset: unitOffset } = source
        const place = { file: index, root: entry.root, path: toBytePath(entry.path) }
        runs.get(source.pack)?.push({ ...place, offset, length, unit, unitOffset })
      }
      offset += length
    }
  }
  return runs
}

/** Unit by unit, so that each is opened once. */
function* slicesFrom(reader: PackReader, runs: readonly MovedRun[]): Generator<Slice> {
  const byUnit = Map.groupBy(runs, ({ unit }) => unit)
  for (const [unit, moved] of [...byUnit].toSorted(([one], [other]) => one - other)) {
    const raw = reader.unit(unit)
    for (const { file, root, path, offset, length, unitOffset } of moved) {
      if (unitOffset + length > raw.length)
        throw damaged(reader.key, `a file needs more of unit ${unit} than there is`)
      const content = raw.slice(unitOffset, unitOffset + length)
      const read = { readsToEnd: false, isFollowed: false, firstBlock: undefined }
      yield { file, root, path, offset, length, content, ...read }
    }
  }
}

async function openPack(
  { repository, clusterId, head }: Lineage,
  index: number,
  context: RunContext,
): Promise<PackReader> {
  const reference = head.packs[index]
  const key = reference === undefined ? '' : packKey(clusterId, reference)
  const bytes = await repository.store.get(key, undefined, context)
  if (bytes === undefined) throw damaged(key, 'it is missing')
  return new PackReader(bytes, { keys: repository.keys.sealing, key })
}

function damaged(key: string, found: string): OperationError {
  return new OperationError('damaged', `reading pack "${key}": ${found}`, {
    hint: 'Run "holdfast verify", and take a full backup with "--type full".',
  })
}
