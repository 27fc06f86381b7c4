import type { SegmentContents } from '../../src/wal/segment-contents.ts'

/** The contents as plain values, sorted where the order says nothing, to be compared. */
export function plainContents({ facts, head, tail, ...frame }: SegmentContents): object {
  const forks = [...facts.changes.forks()].map(
    ([{ tablespace, database, relation, fork }, blocks]) =>
      `${tablespace}/${database}/${relation}/${fork} from ${blocks.limit ?? '-'}: ${[...blocks.blocks()].join()}`,
  )
  return structuredClone({
    ...frame,
    head: head && { ...head, bytes: head.bytes && [...head.bytes] },
    tail: tail && { ...tail, bytes: tail.bytes && [...tail.bytes] },
    forks: forks.toSorted(),
    databases: [...facts.changes.databases()].map((names) => names.join('/')).toSorted(),
    transactions: [...facts.transactions],
    firstLsns: [...facts.firstLsns],
    rows: [...facts.rows],
    events: [...facts.relationEvents],
    control: facts.control,
    unknown: facts.unknown,
  })
}
