import type { Damage } from './damage.ts'
import type { ProvenGroup, VerifyState } from './verify-state.ts'

/** How much is to be proven. */
export type VerifyScope =
  /** Everything; what an interrupted run over everything has proven is passed over. */
  | { readonly kind: 'everything' }
  /** Everything, again. */
  | { readonly kind: 'anew' }
  /** The least recently proven part: of all bytes, so many percent. More than 0, at most 100. */
  | { readonly kind: 'sample'; readonly percent: number }

/** How long a run that was interrupted can be gone on with. */
const resumableForMs = 7 * 24 * 60 * 60 * 1000

/** Proofs younger than this need no share of a sample of their own. */
const oldAfterMs = 7 * 24 * 60 * 60 * 1000

interface SizedGroup {
  readonly id: string
  readonly objects: number
  readonly bytes: number
}

export interface VerifyPlan<Group extends SizedGroup> {
  /** What is to be proven, least recently proven first. */
  readonly order: readonly Group[]
  readonly totalBytes: number
  /** When the run over everything began that this one belongs to; undefined for a sample. */
  readonly runStartedAtMs: number | undefined
  /** Bytes that an interrupted run has proven before. */
  readonly passedOverBytes: number
}

interface PlanFacts<Group extends SizedGroup> {
  /** Everything that is stored. */
  readonly groups: Iterable<Group>
  readonly state: Pick<VerifyState, 'groups' | 'damage' | 'runStartedAtMs'>
  readonly scope: VerifyScope
  readonly nowMs: number
}

/** Chooses what is proven, and in which order: what was never proven and what is damaged come first. */
export function planVerify<Group extends SizedGroup>({
  groups,
  state,
  scope,
  nowMs,
}: PlanFacts<Group>): VerifyPlan<Group> {
  const proofs = proofsOf(state, nowMs)
  const proofOf = (group: Group): number => proofTime(proofs, group) ?? 0
  const ordered = [...groups].toSorted((one, other) => proofOf(one) - proofOf(other))
  if (scope.kind === 'sample') {
    const damaged = new Set(state.damage.map(({ group }) => group))
    const isDamaged = ({ id }: Group): boolean => damaged.has(id)
    const order = takeSample(ordered, {
      percent: scope.percent,
      isDamaged,
      isOld: (group) => proofOf(group) > 0 && nowMs - proofOf(group) >= oldAfterMs,
    })
    return { order, totalBytes: sumOf(order), runStartedAtMs: undefined, passedOverBytes: 0 }
  }
  const resumed = scope.kind === 'anew' ? undefined : resumableRun(state.runStartedAtMs, nowMs)
  const order = resumed === undefined ? ordered : ordered.filter((group) => proofOf(group) < resumed)
  const totalBytes = sumOf(order)
  return {
    order,
    totalBytes,
    runStartedAtMs: resumed ?? nowMs,
    passedOverBytes: sumOf(ordered) - totalBytes,
  }
}

/** The proofs that still count: not of damaged groups, and not from the future, where a clock was wrong. */
function proofsOf(
  { groups, damage }: { readonly groups: readonly ProvenGroup[]; readonly damage: readonly Damage[] },
  nowMs: number,
): ReadonlyMap<string, ProvenGroup> {
  const damaged = new Set(damage.map(({ group }) => group))
  return new Map(
    groups
      .filter(({ group, provenAtMs }) => !damaged.has(group) && provenAtMs <= nowMs)
      .map((proof) => [proof.group, proof]),
  )
}

/** When the group was proven as it is stored now. */
export function proofTime(
  proofs: ReadonlyMap<string, ProvenGroup>,
  { id, objects, bytes }: SizedGroup,
): number | undefined {
  const proof = proofs.get(id)
  return proof?.objects === objects && proof.bytes === bytes ? proof.provenAtMs : undefined
}

function resumableRun(startedAtMs: number | undefined, nowMs: number): number | undefined {
  if (startedAtMs === undefined || startedAtMs > nowMs) return undefined
  return nowMs - startedAtMs < resumableForMs ? startedAtMs : undefined
}

/**
 * Half of it is for the least recent proofs that are a week old: where more is new each day than a sample takes, old data would never be read
 * again. What is known to be damaged is looked at again besides: it may have been healed, and must not eat up the sample.
 */
function takeSample<Group extends SizedGroup>(
  ordered: readonly Group[],
  { percent, isDamaged, isOld }: SampleChoice<Group>,
): readonly Group[] {
  const wantedBytes = (sumOf(ordered) * percent) / 100
  const whole = ordered.filter((group) => !isDamaged(group))
  const oldest = takeBytes(whole.filter(isOld), wantedBytes / 2)
  const chosen = new Set(oldest)
  const others = whole.filter((group) => !chosen.has(group))
  for (const group of takeBytes(others, wantedBytes - sumOf(oldest))) chosen.add(group)
  return ordered.filter((group) => isDamaged(group) || chosen.has(group))
}

interface SampleChoice<Group> {
  readonly percent: number
  readonly isDamaged: (group: Group) => boolean
  readonly isOld: (group: Group) => boolean
}

/** So many from the first on that they have this much at least. */
function takeBytes<Group extends SizedGroup>(
  groups: readonly Group[],
  wantedBytes: number,
): readonly Group[] {
  let bytes = 0
  return groups.filter((group) => {
    if (bytes >= wantedBytes) return false
    bytes += group.bytes
    return true
  })
}

function sumOf(groups: readonly SizedGroup[]): number {
  return groups.reduce((sum, { bytes }) => sum + bytes, 0)
}
