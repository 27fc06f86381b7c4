import { isOperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { listNumbers } from '../repository/numbered-objects.ts'
import { sweepKey, sweepPrefix } from '../repository/object-keys.ts'
import type { Repository } from '../repository/open-repository.ts'
import { encodeRecord, RecordReader } from '../repository/record.ts'
import { refuseNewerFormat } from '../repository/repository-header.ts'
import { openObject, writeObject } from '../repository/sealed-store.ts'
import { tidyAway } from '../repository/tidy-away.ts'

/** Keys that nothing needs, and since when that is known, in milliseconds since 1970 by the clock of the host that found it. */
export type Marks = ReadonlyMap<string, number>

export interface SweepMarks {
  /** 0: there are none yet. */
  readonly number: number
  readonly marks: Marks
}

/** The newest marks. Those that cannot be read count as none: then everything waits for the whole grace again. */
export async function readSweepMarks(
  repository: Repository,
  clusterId: string,
  context: RunContext,
): Promise<SweepMarks> {
  const number = Math.max(0, ...(await listNumbers(repository, sweepPrefix(clusterId), context)))
  if (number === 0) return { number, marks: new Map() }
  const key = sweepKey(clusterId, number)
  try {
    const sealed = await repository.store.get(key, undefined, context)
    if (sealed === undefined) return { number, marks: new Map() }
    const payload = openObject(repository, { kind: 'sweep-marks', key }, sealed)
    return { number, marks: decode(payload, key) }
  } catch (error) {
    if (!isOperationError(error, 'damaged')) throw error
    context.report({
      kind: 'warning',
      message: `what the last sweep had marked cannot be read: ${error.message}`,
      hint: 'Nothing is lost: what is to be deleted waits for the whole grace once more.',
    })
    return { number, marks: new Map() }
  }
}

/** Stores the marks under the number after `before`, and removes the older ones. */
export async function writeSweepMarks(
  repository: Repository,
  {
    clusterId,
    before,
    marks,
  }: { readonly clusterId: string; readonly before: number; readonly marks: Marks },
  context: RunContext,
): Promise<void> {
  const key = sweepKey(clusterId, before + 1)
  await writeObject(repository, { name: { kind: 'sweep-marks', key }, payload: encode(marks) }, context)
  const older = (await listNumbers(repository, sweepPrefix(clusterId), context)).filter(
    (number) => number <= before,
  )
  await tidyAway(
    repository,
    older.map((number) => sweepKey(clusterId, number)),
    context,
  )
}

/** Keys that were found by the same sweep stand together. */
function encode(marks: Marks): Uint8Array {
  const rounds = [...Map.groupBy(marks, ([, markedAtMs]) => markedAtMs)].map(([markedAtMs, members]) => ({
    markedAtMs,
    keys: members.map(([key]) => key),
  }))
  return encodeRecord({ version: 1, rounds })
}

function decode(payload: Uint8Array, key: string): Marks {
  const reader = RecordReader.decode(payload, `the marks "${key}"`)
  refuseNewerFormat(reader.count('version'), `reading the marks "${key}"`)
  const marks = new Map<string, number>()
  for (const round of reader.records('rounds')) {
    const markedAtMs = round.count('markedAtMs')
    for (const marked of round.strings('keys')) marks.set(marked, markedAtMs)
  }
  return marks
}
