import type { DumpHead } from './dump-head.ts'

/*
 * What a dump holds, by members of its head and some of its facts. These facts are read by the keep rules, and by nothing
 * else: docs/formats/dump.md.
 */

/** Which part of its databases a dump has: `everything`, or the arguments of pg_dump that say so. */
export const selectionFact = 'selection'
/** `with` or `without`: whether the globals have the hashes of passwords. */
export const passwordsFact = 'role passwords'
/** Where the server was that was dumped as of a moment of the past; absent: it was dumped as it ran. */
export const pastFact = 'recovered to LSN'

export const everything = 'everything'

/** What a dump holds: two hold the same when the `key` is the same. */
export interface DumpContents {
  readonly key: string
  /** Each thing, and what is as good as it or better: the whole that it is a part of, or the thing itself. */
  readonly things: ReadonlyMap<string, string>
}

/** Undefined: it does not say which part of its databases it has. */
export function contentsOf({
  members,
  facts,
}: Pick<DumpHead, 'members' | 'facts'>): DumpContents | undefined {
  const selection = facts[selectionFact]
  if (selection === undefined || members.length === 0) return undefined
  const time = facts[pastFact] === undefined ? 'present' : 'past'
  const things = new Map<string, string>()
  const add = (words: readonly string[], whole = words): void =>
    void things.set(JSON.stringify([time, ...words]), JSON.stringify([time, ...whole]))
  for (const { kind, name, database } of members) {
    const words = [kind, database ?? name]
    if (kind === 'database' && selection !== everything) add([...words, selection], words)
    else add(words)
    if (kind === 'globals' && facts[passwordsFact] !== 'without') add([passwordsFact])
  }
  return { key: [...things.keys()].toSorted().join('\n'), things }
}

/** Whether one dump holds everything that another one holds. What only a part was dumped of, a dump of the whole holds. */
export function holdsAll({ things: held }: DumpContents, { things }: DumpContents): boolean {
  return [...things].every(([thing, whole]) => held.has(thing) || held.has(whole))
}
