import type { ArchivePlace } from '../archive/archive-place.ts'
import type { BackupLabel } from '../domain/backup-label.ts'
import { isOperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { segmentRange } from '../domain/wal-segment.ts'
import type { ListedBackup } from '../repository/backup-entry.ts'
import type { ListedDump } from '../repository/dump-entry.ts'
import type { Lease } from '../repository/lease.ts'
import { condenseDamage, expandDamage } from './condense-damage.ts'
import type { Damage } from './damage.ts'
import type { Finding } from './object-problem.ts'
import { proofTime } from './plan-verify.ts'
import { dumpGroupId, walGroupId, type Group } from './verify-groups.ts'
import { readVerifyState, writeVerifyState } from './verify-state-store.ts'
import { nothingProven, type ProvenGroup, type VerifyState } from './verify-state.ts'

/** So often the state is written while a run goes on: a run that is killed has lost no more than this. */
const saveIntervalMs = 30_000
const saveIntervalBytes = 4 * 1024 * 1024 * 1024

/** What has been looked at by some moment of a run. */
export interface Looked {
  readonly proofs: ReadonlyMap<string, ProvenGroup>
  /** The groups that this run has come to. */
  readonly examined: ReadonlySet<string>
}

/** What is known at some moment of a run. */
export interface Known {
  readonly proofs: Looked['proofs']
  /** Of everything that has been looked at by then: a proof must never be written down without what was found. */
  readonly damage: readonly Damage[]
  readonly groups: ReadonlyMap<string, Group>
  readonly backups: readonly ListedBackup[]
  readonly dumps: readonly ListedDump[]
  /** The groups that hold the packs of each backup. */
  readonly groupsOf: ReadonlyMap<BackupLabel, ReadonlySet<string>>
  readonly runStartedAtMs: number | undefined
  /** True: this run over everything is done. */
  readonly isCompleted: boolean
}

interface MemoryTools {
  readonly place: ArchivePlace
  /** Undefined: the store cannot be written. */
  readonly lease: Lease | undefined
}

/** What is proven, in memory and in the repository. */
export class ProofMemory {
  readonly #tools: MemoryTools
  readonly #proofs: Map<string, ProvenGroup>
  readonly #examined = new Set<string>()
  /** Before this run. */
  readonly #before: VerifyState
  #state: VerifyState
  #isWritable: boolean
  #isSaving = false
  #savedAt: number
  #unsavedBytes = 0

  static async open(tools: MemoryTools, context: RunContext): Promise<ProofMemory> {
    const { repository, cluster } = tools.place
    const state = await readVerifyState(repository, cluster.id, context)
    return new ProofMemory(tools, state ?? nothingProven, context)
  }

  private constructor(tools: MemoryTools, state: VerifyState, { clock }: RunContext) {
    this.#tools = tools
    this.#before = state
    this.#state = state
    const nowMs = clock.now()
    const counting = state.groups.filter(({ provenAtMs }) => provenAtMs <= nowMs)
    this.#proofs = new Map(counting.map((proof) => [proof.group, proof]))
    this.#isWritable = tools.lease !== undefined
    this.#savedAt = clock.monotonic()
  }

  get state(): VerifyState {
    return this.#state
  }

  get isWritable(): boolean {
    return this.#isWritable
  }

  /** Damage that was known before this run. */
  get known(): readonly Damage[] {
    return this.#before.damage
  }

  /** What older runs found in groups that are still stored and that this run had not come to by then. */
  unexamined(groups: ReadonlyMap<string, Group>, { examined }: Looked): readonly Finding[] {
    return this.#before.damage
      .filter(({ group }) => group !== undefined && groups.has(group) && !examined.has(group))
      .flatMap(expandDamage)
  }

  /** A copy, because other lanes go on while somebody works with it. */
  look(): Looked {
    return { proofs: new Map(this.#proofs), examined: new Set(this.#examined) }
  }

  /** Everything of the group was looked at; whether something is wrong with it, the damage says. */
  prove({ id, objects, bytes }: Group, provenAtMs: number): void {
    this.#examined.add(id)
    this.#proofs.set(id, { group: id, objects, bytes, provenAtMs })
    this.#unsavedBytes += bytes
  }

  /**
   * Saves when enough has been proven since the last time, or enough time has passed. `gather` copies what it needs of
   * the run before it waits for anything.
   */
  async saveIfDue(gather: () => Promise<Known>, context: RunContext): Promise<void> {
    const elapsedMs = context.clock.monotonic() - this.#savedAt
    const isDue = elapsedMs >= saveIntervalMs || this.#unsavedBytes >= saveIntervalBytes
    if (!isDue || this.#isSaving || !this.#isWritable) return
    this.#isSaving = true
    try {
      await this.save(await gather(), context)
    } finally {
      this.#isSaving = false
    }
  }

  /** Takes what is known for the state, and stores it if that is possible: what was found is told in any case. */
  async save(known: Known, context: RunContext): Promise<void> {
    this.#savedAt = context.clock.monotonic()
    this.#unsavedBytes = 0
    this.#state = this.#compose(known, context.clock.now())
    if (!this.#isWritable) return
    const { place, lease } = this.#tools
    try {
      await lease?.confirm()
      const request = { clusterId: place.cluster.id, state: this.#state }
      await writeVerifyState(place.repository, request, context)
    } catch (error) {
      if (context.signal.aborted || !isOperationError(error) || error.code === 'lease-lost') throw error
      this.#isWritable = false
      context.report({ kind: 'warning', message: `what is proven cannot be remembered: ${error.message}` })
    }
  }

  #compose(
    { proofs: all, damage, groups, backups, dumps, groupsOf, runStartedAtMs, isCompleted }: Known,
    nowMs: number,
  ): VerifyState {
    const stored = [...groups.values()]
    const listed = condenseDamage(damage)
    const unlisted = unlistedGroups(damage, listed)
    const proofs = new Map(
      stored
        .flatMap(({ id }) => (unlisted.has(id) ? [] : (all.get(id) ?? [])))
        .map((proof) => [proof.group, proof]),
    )
    const damagedGroups = new Set(damage.map(({ group }) => group))
    const whole = stored.filter(({ id }) => !damagedGroups.has(id))
    const lost = new Set(damage.flatMap((each) => each.backups))
    const provenBackups = backups.flatMap((backup) => {
      const ids = lost.has(backup.label) ? undefined : groupsOf.get(backup.label)
      const provenAtMs = ids && this.#oldest([...ids, ...this.#walGroupsOf(backup)], { groups, proofs })
      return provenAtMs === undefined ? [] : [{ label: backup.label, provenAtMs }]
    })
    const provenDumps = dumps.flatMap(({ label }) => {
      const provenAtMs = lost.has(label) ? undefined : this.#oldest([dumpGroupId(label)], { groups, proofs })
      return provenAtMs === undefined ? [] : [{ label, provenAtMs }]
    })
    return {
      writtenAtMs: nowMs,
      lastCompletedAtMs: isCompleted ? nowMs : this.#before.lastCompletedAtMs,
      runStartedAtMs,
      oldestProofAtMs: leastOf(whole.map((group) => proofTime(proofs, group))),
      groups: [...proofs.values()],
      backups: [...provenBackups, ...provenDumps],
      damage: listed,
    }
  }

  #walGroupsOf({ timeline, startLsn, stopLsn }: ListedBackup): readonly string[] {
    const range = { from: startLsn, to: stopLsn }
    const names = segmentRange(timeline, range, this.#tools.place.cluster.walSegmentSize)
    return [...new Set(names.map(walGroupId))]
  }

  #oldest(
    ids: readonly string[],
    { groups, proofs }: { groups: Known['groups']; proofs: ReadonlyMap<string, ProvenGroup> },
  ): number | undefined {
    return leastOf(
      ids.map((id) => {
        const group = groups.get(id)
        return group && proofTime(proofs, group)
      }),
    )
  }
}

/** A group counts as proven only when something of what was found in it is listed, so that it is looked at again. */
function unlistedGroups(
  damage: readonly Damage[],
  listed: readonly Damage[],
): ReadonlySet<string | undefined> {
  const named = new Set(listed.map(({ group }) => group))
  return new Set(damage.map(({ group }) => group).filter((group) => !named.has(group)))
}

/** Undefined as soon as one is. */
function leastOf(times: readonly (number | undefined)[]): number | undefined {
  let least: number | undefined
  for (const time of times) {
    if (time === undefined) return undefined
    if (least === undefined || time < least) least = time
  }
  return least
}
