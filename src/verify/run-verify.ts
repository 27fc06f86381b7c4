import { availableParallelism, hostname } from 'node:os'
import type { ArchivePlace } from '../archive/archive-place.ts'
import { isOperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { readProcessIdentity } from '../platform/process-identity.ts'
import { acquireLease, type Lease } from '../repository/lease.ts'
import { assessDamage } from './assess-damage.ts'
import { confirmGaps } from './confirm-gaps.ts'
import type { Damage } from './damage.ts'
import { findWalHoles, type CostedFinding } from './find-wal-holes.ts'
import { PatientStore } from './patient-store.ts'
import { planVerify, type VerifyPlan, type VerifyScope } from './plan-verify.ts'
import { ProofMemory, type Known, type Looked } from './proof-memory.ts'
import { proveGroups, type GroupProof } from './prove-groups.ts'
import { readManifests, type ManifestsResult } from './read-manifests.ts'
import { refreshFacts, takeStock, type Stock } from './take-stock.ts'
import type { Group } from './verify-groups.ts'
import type { VerifyState } from './verify-state.ts'

export interface VerifyRequest {
  readonly scope: VerifyScope
  /** Undefined: as many as the machine has processors, but not so many that memory would pass its bound. */
  readonly workers: number | undefined
}

export interface VerifyReport {
  readonly scope: VerifyScope
  readonly durationMs: number
  readonly proven: ProvenCounts
  /** Of packs and WAL: all that is stored, and what an interrupted run had proven before. */
  readonly storedBytes: number
  readonly passedOverBytes: number
  readonly unreferenced: ManifestsResult['unreferenced']
  readonly unknownObjects: number
  readonly damage: readonly Damage[]
  readonly state: Pick<VerifyState, 'lastCompletedAtMs' | 'oldestProofAtMs'>
  /** False: the repository could not be written, so the next run begins anew. */
  readonly isRemembered: boolean
}

interface ProvenCounts {
  readonly objects: number
  readonly storedBytes: number
  /** After decryption and decompression. */
  readonly rawBytes: number
}

/** Each takes 40 MB: with 3 the whole tool stays below 256 MB (November 2026). */
const mostLanes = 3
/** What is wanted of their packs is held in memory: 65,536 packs, about a terabyte. */
const groupsPerBatch = 4096

/**
 * Proves what a repository holds of a cluster, and says what is damaged and what that costs. Only a store that does not
 * answer, a lost lease and a cancellation end it early. What was proven until then is remembered.
 */
export async function runVerify(
  request: VerifyRequest,
  place: ArchivePlace,
  context: RunContext,
): Promise<VerifyReport> {
  const startedAt = context.clock.monotonic()
  await using lease = await leaseIfWritable(place, context)
  const signals = lease === undefined ? [context.signal] : [context.signal, lease.lost]
  const held = { ...context, signal: AbortSignal.any(signals) }
  const memory = await ProofMemory.open({ place, lease }, held)
  const { repository } = place
  const read = { ...place, repository: { ...repository, store: new PatientStore(repository.store) } }
  const stock = await takeStock(read, held)
  const plan = planVerify({
    groups: stock.stored.groups.values(),
    state: memory.state,
    scope: request.scope,
    nowMs: held.clock.now(),
  })
  tellPlan(plan, held)
  const run = new VerifyRun({ request, place: read, memory, stock, plan }, held)
  try {
    await run.prove()
  } catch (error) {
    await run.remember()
    throw error
  }
  const damage = await run.finish()
  return { ...run.counts, damage, durationMs: context.clock.monotonic() - startedAt }
}

/** Undefined when the store cannot be written, such as the past: then nobody else can either, or will be disturbed. */
async function leaseIfWritable(
  { repository, cluster }: ArchivePlace,
  context: RunContext,
): Promise<Lease | undefined> {
  if (repository.store.asOfMs !== undefined) return undefined
  try {
    return await acquireLease(
      repository,
      {
        clusterId: cluster.id,
        scope: 'verify',
        purpose: `verify of cluster "${cluster.name}" by ${hostname()}`,
        holder: readProcessIdentity(),
      },
      context,
    )
  } catch (error) {
    if (!isOperationError(error, 'store-failed') && !isOperationError(error, 'no-space')) throw error
    context.report({
      kind: 'warning',
      message: `what is proven cannot be remembered: ${error.message}`,
      hint: 'Let verify write into the repository, so that an interrupted run goes on and "info" shows damage.',
    })
    return undefined
  }
}

function tellPlan({ passedOverBytes }: VerifyPlan<Group>, { report }: RunContext): void {
  if (passedOverBytes > 0)
    report({ kind: 'note', message: 'going on with a run that was interrupted; "--all" begins anew' })
}

interface Running {
  readonly request: VerifyRequest
  readonly place: ArchivePlace
  readonly memory: ProofMemory
  readonly stock: Stock
  readonly plan: VerifyPlan<Group>
}

class VerifyRun {
  readonly #running: Running
  readonly #context: RunContext
  readonly #findings: Stock['findings'][number][]
  #objects: number
  #storedBytes = 0
  #rawBytes = 0
  #manifests: ManifestsResult | undefined
  #holes: readonly CostedFinding[] = []

  constructor(running: Running, context: RunContext) {
    this.#running = running
    this.#context = context
    this.#findings = [...running.stock.findings]
    this.#objects = running.stock.objects
  }

  async prove(): Promise<void> {
    const { place, stock, plan } = this.#running
    this.#holes = await findHoles(stock, place, this.#context)
    const { order } = plan
    let first = 0
    do {
      await this.#proveBatch(order.slice(first, first + groupsPerBatch))
      first += groupsPerBatch
    } while (first < order.length)
  }

  /** Looks again at what may have changed meanwhile, and writes down what is known now. */
  async finish(): Promise<readonly Damage[]> {
    const { place, stock, plan, memory } = this.#running
    const fresh = await refreshFacts(stock, place, this.#context)
    this.#holes = await findHoles(fresh, place, this.#context)
    const looked = memory.look()
    const damage = await this.#assess(fresh, looked)
    await memory.save(
      {
        proofs: looked.proofs,
        damage,
        groups: stock.stored.groups,
        backups: fresh.facts.backups,
        dumps: fresh.facts.dumps,
        groupsOf: this.#manifests?.groupsOf ?? new Map(),
        runStartedAtMs: plan.runStartedAtMs === undefined ? memory.state.runStartedAtMs : undefined,
        isCompleted: plan.runStartedAtMs !== undefined,
      },
      this.#context,
    )
    return memory.state.damage
  }

  /** What was proven by a run that has failed, unless it was stopped: then nothing may change any more. */
  async remember(): Promise<void> {
    const { memory } = this.#running
    if (this.#context.signal.aborted || memory.look().examined.size === 0) return
    try {
      await memory.save(await this.#gather(), this.#context)
    } catch (error) {
      // The failure that ended the run is thrown; what is not remembered is proven again.
      this.#context.report({
        kind: 'warning',
        message: `what is proven was not remembered: ${String(error)}`,
      })
    }
  }

  get counts(): Omit<VerifyReport, 'damage' | 'durationMs'> {
    const { request, stock, plan, memory } = this.#running
    const storedBytes = stock.stored.groups.values().reduce((sum, { bytes }) => sum + bytes, 0)
    return {
      scope: request.scope,
      proven: { objects: this.#objects, storedBytes: this.#storedBytes, rawBytes: this.#rawBytes },
      storedBytes,
      passedOverBytes: plan.passedOverBytes,
      unreferenced: this.#manifests?.unreferenced ?? { packs: 0, bytes: 0 },
      unknownObjects: stock.stored.unknownObjects,
      state: memory.state,
      isRemembered: memory.isWritable,
    }
  }

  async #proveBatch(batch: readonly Group[]): Promise<void> {
    const { request, place, stock } = this.#running
    const wanted = new Set(batch.map(({ id }) => id))
    const { groups } = stock.stored
    const manifests = await readManifests(
      { backups: stock.facts.backups, groups, wanted },
      place,
      this.#context,
    )
    if (this.#manifests === undefined) {
      this.#findings.push(...manifests.findings)
      this.#objects += manifests.objects
    }
    // What is wanted of the packs is needed for this batch only.
    this.#manifests = { ...manifests, needed: new Map() }
    await proveGroups(
      {
        groups: batch,
        needed: manifests.needed,
        archive: stock.archive,
        lanes: request.workers ?? Math.min(availableParallelism(), mostLanes),
        onProof: (proof) => this.#addProof(proof),
      },
      place,
      this.#context,
    )
  }

  async #addProof({ group, startedAtMs, result }: GroupProof): Promise<void> {
    const { memory, plan } = this.#running
    this.#findings.push(...result.findings)
    this.#objects += group.objects
    this.#storedBytes += group.bytes
    this.#rawBytes += result.rawBytes
    memory.prove(group, startedAtMs)
    this.#context.report({
      kind: 'progress',
      phase: 'verifying',
      done: this.#storedBytes,
      total: plan.totalBytes,
      unit: 'bytes',
    })
    await memory.saveIfDue(() => this.#gather(), this.#context)
  }

  /** Other lanes go on meanwhile: what they prove from here on is for the next time. */
  async #gather(): Promise<Known> {
    const { memory, plan, stock } = this.#running
    const looked = memory.look()
    return {
      proofs: looked.proofs,
      damage: await this.#assess(stock, looked),
      groups: stock.stored.groups,
      backups: stock.facts.backups,
      dumps: stock.facts.dumps,
      groupsOf: this.#manifests?.groupsOf ?? new Map(),
      runStartedAtMs: plan.runStartedAtMs ?? memory.state.runStartedAtMs,
      isCompleted: false,
    }
  }

  /** Copies what was found before it waits: it belongs to what had been looked at then. */
  #assess({ facts }: Pick<Stock, 'facts'>, looked: Looked): Promise<readonly Damage[]> {
    const { place, stock, memory } = this.#running
    const remembered = memory.unexamined(stock.stored.groups, looked)
    return assessDamage(
      {
        findings: [...remembered, ...this.#findings],
        holes: this.#holes,
        known: memory.known,
        facts,
      },
      place,
      this.#context,
    )
  }
}

/** Segments may be arriving: what is missing and matters is asked for again. */
async function findHoles(
  { survey, facts }: Pick<Stock, 'survey' | 'facts'>,
  place: ArchivePlace,
  context: RunContext,
): Promise<readonly CostedFinding[]> {
  if (survey === undefined) return []
  const known = { cluster: place.cluster, facts }
  const holes = findWalHoles(survey, known)
  if (!holes.some(({ kind }) => kind === 'wal-missing')) return holes
  return findWalHoles(await confirmGaps(survey, place, context), known)
}
