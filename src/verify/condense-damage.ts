import { mostJoined, type Damage, type LostMoments } from './damage.ts'

/** More than this nobody reads, and a state must stay small enough to be stored: a repository may be damaged all over. */
export const mostListed = 2000
const mostLost = 100

const packName = /^(.*\/)(\d{6,9})$/

/** Joins packs with neighbouring numbers that have one problem and one cost, and lists so many damages at most. */
export function condenseDamage(damage: readonly Damage[]): readonly Damage[] {
  const joined = joinPacks(damage)
  if (joined.length <= mostListed) return joined
  return [...joined.slice(0, mostListed - 1), summarize(joined.slice(mostListed - 1))]
}

/** The opposite of joining: each pack by itself. */
export function expandDamage({ packCount, ...damage }: Damage): readonly Damage[] {
  const [, folder = '', number = ''] = packName.exec(damage.key) ?? []
  const problem = damage.problem.replace(othersText, '')
  if (packCount === undefined) return [damage]
  return Array.from({ length: packCount }, (_, index) => {
    const key = `${folder}${String(Number(number) + index).padStart(6, '0')}`
    return { ...damage, key, problem: problem.replaceAll(damage.key, key) }
  })
}

const othersText = / \(and \d+ packs after it\)$/

const tellOthers = (damage: Damage): Damage =>
  damage.packCount === undefined
    ? damage
    : { ...damage, problem: `${damage.problem} (and ${damage.packCount - 1} packs after it)` }

function joinPacks(damage: readonly Damage[]): readonly Damage[] {
  const packs = damage.filter(({ kind }) => kind === 'pack')
  const joined: Damage[] = []
  for (const next of packs.toSorted((one, other) => compareKeys(one.key, other.key))) {
    const last = joined.at(-1)
    if (last !== undefined && isNeighbour(last, next))
      joined.splice(-1, 1, { ...last, packCount: countOf(last) + 1 })
    else joined.push(next)
  }
  return [...damage.filter(({ kind }) => kind !== 'pack'), ...joined.map(tellOthers)]
}

const countOf = ({ packCount = 1 }: Damage): number => packCount

/** Labels have one length, and numbers above 999,999 more digits. */
function compareKeys(one: string, other: string): number {
  if (one.length !== other.length) return one.length - other.length
  return one < other ? -1 : 1
}

function isNeighbour(row: Damage, next: Damage): boolean {
  const [, folder, number] = packName.exec(row.key) ?? []
  const [, nextFolder, nextNumber] = packName.exec(next.key) ?? []
  return (
    folder === nextFolder &&
    Number(number) + countOf(row) === Number(nextNumber) &&
    countOf(row) < mostJoined &&
    isAlike(row, next)
  )
}

function isAlike(one: Damage, other: Damage): boolean {
  return (
    one.group === other.group &&
    one.foundAtMs === other.foundAtMs &&
    one.problem.replaceAll(one.key, '') === other.problem.replaceAll(other.key, '') &&
    isSame(one.backups, other.backups) &&
    isSame(one.lost.map(lostName), other.lost.map(lostName))
  )
}

const isSame = (some: readonly string[], others: readonly string[]): boolean =>
  some === others || (some.length === others.length && some.every((label, index) => label === others[index]))

const lostName = ({ timeline, fromLsn, until }: LostMoments): string =>
  `${timeline} ${fromLsn} ${until?.backup ?? ''}`

/** It is in no group: what is not listed must be found again. */
function summarize(rest: readonly Damage[]): Damage {
  const lost = new Map(rest.flatMap((each) => each.lost.map((moments) => [lostName(moments), moments])))
  return {
    key: rest[0]?.key ?? '',
    kind: rest[0]?.kind ?? 'pack',
    problem: `${rest.length} more damages are not listed by themselves`,
    foundAtMs: Math.min(...rest.slice(0, mostListed).map(({ foundAtMs }) => foundAtMs)),
    seenAtMs: rest[0]?.seenAtMs ?? 0,
    backups: [...new Set(rest.flatMap(({ backups }) => backups))].toSorted(),
    lost: [...lost.values()].slice(0, mostLost),
    group: undefined,
  }
}
