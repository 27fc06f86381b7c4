import type { RunContext } from '../domain/run-context.ts'
import type { ArchivePlace } from '../archive/archive-place.ts'
import { packKey } from '../repository/object-keys.ts'
import { fetchObject } from './fetch-object.ts'
import { readOrProblem, type Finding } from './object-problem.ts'
import { packName, type NeededPacks } from './needed-packs.ts'
import type { PackGroup } from './verify-groups.ts'
import type { VerifyLane } from './verify-lane.ts'

/** What came of proving one group. */
export interface GroupResult {
  readonly findings: readonly Finding[]
  readonly rawBytes: number
}

export interface ProofTools {
  readonly place: ArchivePlace
  readonly lane: VerifyLane
}

/** Proves every byte of the packs of a group. */
export async function provePacks(
  { group, needed }: { readonly group: PackGroup; readonly needed: NeededPacks },
  { place, lane }: ProofTools,
  context: RunContext,
): Promise<GroupResult> {
  const { repository, cluster } = place
  const needs = new Map(
    group.numbers.map((number) => {
      const name = { label: group.label, number }
      return [packKey(cluster.id, name), needed.get(packName(name))?.finish()]
    }),
  )
  const findings: Finding[] = []
  let rawBytes = 0
  const prove = async (key: string): Promise<Omit<Finding, 'key' | 'kind'> | undefined> => {
    const object = await fetchObject(repository, key, context)
    // Removed since it was listed: whether a backup misses it is asked at the end.
    if (object.kind === 'absent')
      return { problem: `reading pack "${key}": it is missing`, group: undefined, isAbsent: true }
    if (object.kind === 'unreadable') return { problem: object.problem, group: group.id }
    const { bytes } = object
    const proof = await readOrProblem(() => lane.run({ kind: 'pack', key, bytes, needs: needs.get(key) }))
    if ('problem' in proof) return { problem: proof.problem, group: group.id }
    rawBytes += proof.content.rawBytes
    return undefined
  }
  for (const key of needs.keys()) {
    const found = await prove(key)
    if (found !== undefined) findings.push({ key, kind: 'pack', ...found })
  }
  return { findings, rawBytes }
}
