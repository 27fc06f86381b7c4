import { parseWalObjectKey, walObjectKey, type WalObject } from '../archive/wal-object-key.ts'
import { formatLsn } from '../domain/lsn.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { TimelineHistory } from '../domain/timeline-history.ts'
import type { TimelineId } from '../domain/timeline.ts'
import { parseSegmentName, segmentNameOf, type WalSegmentName } from '../domain/wal-segment.ts'
import type { ArchivePlace } from '../archive/archive-place.ts'
import { walPrefix } from '../repository/object-keys.ts'
import type { WalEnd, WalEndReason } from '../wal/wal-end.ts'
import { fetchObject } from './fetch-object.ts'
import { readOrProblem, type Finding } from './object-problem.ts'
import type { GroupResult, ProofTools } from './prove-packs.ts'
import type { WalGroup } from './verify-groups.ts'

/** What is known of the archive besides the group. */
export interface ArchiveFacts {
  readonly histories: ReadonlyMap<TimelineId, TimelineHistory>
  readonly hasSegment: (name: WalSegmentName) => boolean
}

/** How the newest segment of a timeline may end: nothing more was written, or what a segment held before. */
const unwrittenEnds: ReadonlySet<WalEndReason> = new Set(['zeroes', 'page-recycled'])

/** One archived file of the group, complete or not. */
interface ArchivedFile {
  readonly key: string
  readonly object: WalObject
  /** Of a segment. */
  readonly number: bigint | undefined
}

/**
 * Proves all that is archived under the names of a group: every object, and the records of its segments as one row. The
 * row begins one segment before the group, on the timeline that it came from if need be, so that nothing between two
 * groups or timelines stays unread.
 */
export async function proveWal(
  { group, archive }: { readonly group: WalGroup; readonly archive: ArchiveFacts },
  tools: ProofTools,
  context: RunContext,
): Promise<GroupResult> {
  const { place } = tools
  const files = await listFiles(group.stem, place, context)
  const prover = new RowProver({ group, archive, files }, tools, context)
  await prover.readLead(await findLead(files, { group, archive, place }, context))
  for (const file of files) await prover.prove(file)
  return prover.result
}

async function listFiles(
  stem: string,
  { repository, cluster }: ArchivePlace,
  context: RunContext,
): Promise<readonly ArchivedFile[]> {
  const files: ArchivedFile[] = []
  const prefix = `${walPrefix(cluster.id)}${stem.slice(0, 8)}/${stem.slice(8, 16)}/${stem}`
  for await (const { key } of repository.store.list(prefix, context)) {
    const object = parseWalObjectKey(cluster.id, key)
    if (object?.part !== 0) continue
    const { kind, name } = object.name
    const number = kind === 'segment' ? parseSegmentName(name, cluster.walSegmentSize).number : undefined
    files.push({ key, object, number })
  }
  return files
}

/** The segment before the group's first one, if there is exactly one content of it. */
async function findLead(
  files: readonly ArchivedFile[],
  { group, archive, place }: { group: WalGroup; archive: ArchiveFacts; place: ArchivePlace },
  context: RunContext,
): Promise<ArchivedFile | undefined> {
  const first = files.find(({ number }) => number !== undefined)?.number
  if (first === undefined || first === 0n) return undefined
  const ancestors = archive.histories.get(group.timeline)?.ancestors ?? []
  for (const timeline of [group.timeline, ...ancestors.map((each) => each.timeline).toReversed()]) {
    const name = segmentNameOf(timeline, first - 1n, place.cluster.walSegmentSize)
    if (!archive.hasSegment(name)) continue
    const contents = (await listFiles(name, place, context)).filter(({ number }) => number !== undefined)
    return contents.length === 1 ? contents[0] : undefined
  }
  return undefined
}

interface Row {
  readonly group: WalGroup
  readonly archive: ArchiveFacts
  readonly files: readonly ArchivedFile[]
}

class RowProver {
  readonly #row: Row
  readonly #tools: ProofTools
  readonly #context: RunContext
  readonly #findings: Finding[] = []
  readonly #ambiguous: ReadonlySet<string>
  #rawBytes = 0
  /** The segment that the row has come to. */
  #last: bigint | undefined

  constructor(row: Row, tools: ProofTools, context: RunContext) {
    this.#row = row
    this.#tools = tools
    this.#context = context
    const names = Map.groupBy(row.files, ({ object }) => object.name.name)
    this.#ambiguous = new Set([...names].filter(([, contents]) => contents.length > 1).map(([name]) => name))
  }

  get result(): GroupResult {
    return { findings: this.#findings, rawBytes: this.#rawBytes }
  }

  /** What is wrong with the segment before the group is for its own group to say. */
  async readLead(file: ArchivedFile | undefined): Promise<void> {
    if (file === undefined) return
    const read = await this.#read(file)
    this.#last = read.kind === 'read' && read.end === undefined ? file.number : undefined
    this.#rawBytes = 0
  }

  async prove(file: ArchivedFile): Promise<void> {
    const read = await this.#read(file)
    const isWhole = read.kind === 'read' && read.end === undefined && !this.#isAmbiguous(file)
    if (file.number !== undefined) this.#last = isWhole ? file.number : undefined
    if (read.kind === 'problem') this.#find(read.key, 'wal', read.problem)
    if (read.kind === 'read' && read.end !== undefined && this.#isTooEarly(file, read.end)) {
      const { lsn, detail } = read.end
      this.#find(
        file.key,
        'wal-records',
        `the WAL ends at ${formatLsn(lsn)}, inside "${file.key}": ${detail}`,
      )
    }
  }

  /** One of several contents of a name is read by itself: which of them goes on where is not known. */
  #isAmbiguous({ object }: ArchivedFile): boolean {
    return this.#ambiguous.has(object.name.name)
  }

  #find(key: string, kind: 'wal' | 'wal-records', problem: string): void {
    this.#findings.push({ key, kind, problem, group: this.#row.group.id })
  }

  /** The newest segment of a timeline may have been archived before it was full; recovery ends there anyway. */
  #isTooEarly({ number }: ArchivedFile, { reason }: WalEnd): boolean {
    if (number === undefined || !unwrittenEnds.has(reason)) return true
    const { group, archive } = this.#row
    const next = segmentNameOf(group.timeline, number + 1n, this.#tools.place.cluster.walSegmentSize)
    return archive.hasSegment(next)
  }

  async #read(
    file: ArchivedFile,
  ): Promise<
    | { readonly kind: 'read'; readonly end: WalEnd | undefined }
    | { readonly kind: 'gone' }
    | { readonly kind: 'problem'; readonly key: string; readonly problem: string }
  > {
    const { lane, place } = this.#tools
    const object = await fetchObject(place.repository, file.key, this.#context)
    if (object.kind === 'absent') return { kind: 'gone' }
    if (object.kind === 'unreadable') return { ...object, kind: 'problem' }
    const opened = await readOrProblem(() =>
      lane.run({ kind: 'wal-open', key: file.key, bytes: object.bytes }),
    )
    if ('problem' in opened) return { kind: 'problem', key: file.key, ...opened }
    for (let part = 1; part <= opened.content.partCount; part += 1) {
      const problem = await this.#readPart(file, part)
      if (problem !== undefined) return problem
    }
    const history = this.#row.archive.histories.get(file.object.name.timeline)
    const follows = file.number !== undefined && this.#last === file.number - 1n && !this.#isAmbiguous(file)
    const closed = await readOrProblem(() => lane.run({ kind: 'wal-close', history, follows }))
    if ('problem' in closed) return { kind: 'problem', key: file.key, ...closed }
    this.#rawBytes += closed.content.rawBytes
    return { kind: 'read', end: closed.content.end }
  }

  async #readPart(
    { key: headKey, object }: ArchivedFile,
    part: number,
  ): Promise<{ kind: 'gone' } | { kind: 'problem'; key: string; problem: string } | undefined> {
    const { place, lane } = this.#tools
    const key = walObjectKey(place.cluster.id, { ...object, part })
    const fetched = await fetchObject(place.repository, key, this.#context)
    if (fetched.kind === 'unreadable') return { ...fetched, kind: 'problem' }
    if (fetched.kind === 'absent') {
      // Part 00 is written last and deleted first: while it is there, all others must be.
      const isListed = (await place.repository.store.head(headKey, this.#context)) !== undefined
      return isListed
        ? { kind: 'problem', key, problem: `reading "${key}": it is missing` }
        : { kind: 'gone' }
    }
    const { bytes } = fetched
    const added = await readOrProblem(() => lane.run({ kind: 'wal-part', key, part, bytes }))
    return 'problem' in added ? { kind: 'problem', key, ...added } : undefined
  }
}
