import { hostname } from 'node:os'
import type { ArchivePlace } from '../archive/archive-place.ts'
import type { RunContext } from '../domain/run-context.ts'
import { readProcessIdentity } from '../platform/process-identity.ts'
import { randomBytes } from '../platform/random.ts'
import { acquireLease, type Lease } from '../repository/lease.ts'

const retryIntervalMs = 60_000

interface Holding {
  readonly place: ArchivePlace
  readonly work: ReadingWork
  readonly lease: Lease | undefined
}

/** What must find all that it has planned with until it has ended. */
export type ReadingWork = 'restore' | 'copy'

export interface HeldReading extends AsyncDisposable {
  /** Whether nothing that was there from the beginning can have been deleted by a sweep. */
  readonly isProtected: boolean
}

const nothingHeld: HeldReading = { isProtected: true, [Symbol.asyncDispose]: () => Promise.resolve() }

/** A restore, or a copying, that the repository knows of, as long as the repository can be written. */
class HeldRestore implements HeldReading {
  readonly #place: ArchivePlace
  readonly #work: ReadingWork
  readonly #context: RunContext
  readonly #ending = new AbortController()
  readonly #holding: Promise<void>
  #lease: Lease | undefined
  #isGapless = true

  /** Use `holdRestoreLease`. */
  constructor({ place, lease, work }: Holding, context: RunContext) {
    this.#place = place
    this.#work = work
    this.#context = context
    this.#lease = lease
    this.#holding = this.#keepHolding()
  }

  /** Whether a lease was held from the beginning without a gap. */
  get isProtected(): boolean {
    return this.#isGapless && this.#lease !== undefined && !this.#lease.lost.aborted
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort()
    await this.#holding
    await this.#lease?.[Symbol.asyncDispose]()
  }

  /** A restore is worth more than its lease: when that is lost, it goes on, and tries to be known again. */
  async #keepHolding(): Promise<void> {
    const { clock } = this.#context
    while (!this.#isEnding()) {
      if (this.#lease === undefined) {
        this.#isGapless = false
        await clock.sleep(retryIntervalMs, this.#ending.signal).catch(() => undefined)
        if (!this.#isEnding())
          this.#lease = await claim(this.#place, this.#work, this.#context).catch(() => undefined)
      } else if (await isLost(this.#lease, this.#ending.signal)) {
        this.#lease = undefined
        warn(this.#work, 'its lease could not be renewed', this.#context)
      }
    }
  }

  #isEnding(): boolean {
    return this.#ending.signal.aborted
  }
}

/**
 * Keeps the sweep from deleting anything while a restore runs. To be held before the catalogue is read: what a restore
 * has planned with is then there until it has ended. Whoever may only read the repository restores without: then the
 * sweep's grace is all that protects it, which is said.
 */
export function holdRestoreLease(place: ArchivePlace, context: RunContext): Promise<HeldReading> {
  return holdReadingLease(place, 'restore', context)
}

/** The same for whatever reads what a sweep might delete. */
export async function holdReadingLease(
  place: ArchivePlace,
  work: ReadingWork,
  context: RunContext,
): Promise<HeldReading> {
  // No sweep changes the past: only who deletes versions does, and no lease of ours would keep that off.
  if (place.repository.store.asOfMs !== undefined) return nothingHeld
  try {
    return new HeldRestore({ place, work, lease: await claim(place, work, context) }, context)
  } catch (error) {
    context.signal.throwIfAborted()
    warn(work, error instanceof Error ? error.message : String(error), context)
    return new HeldRestore({ place, work, lease: undefined }, context)
  }
}

/** A scope of its own, used once: restores do not exclude each other. */
function claim(
  { repository, cluster }: ArchivePlace,
  work: ReadingWork,
  context: RunContext,
): Promise<Lease> {
  const request = {
    clusterId: cluster.id,
    scope: freshScope(context),
    purpose: `${work} of cluster "${cluster.name}" on ${hostname()}`,
    holder: readProcessIdentity(),
  }
  return acquireLease(repository, request, context)
}

/** By time, so that a listing has them in the order in which they began; the rest tells apart what began at once. */
function freshScope({ clock }: RunContext): string {
  const time = clock.now().toString(16).padStart(11, '0')
  return `restore-${time}${Buffer.from(randomBytes(3)).toString('hex').slice(1)}`
}

/** Resolves with true when the lease is lost, with false when the restore ends. */
function isLost({ lost }: Lease, ending: AbortSignal): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const settle = (): void => {
    lost.removeEventListener('abort', settle)
    ending.removeEventListener('abort', settle)
    resolve(lost.aborted)
  }
  if (lost.aborted || ending.aborted) settle()
  lost.addEventListener('abort', settle, { once: true })
  ending.addEventListener('abort', settle, { once: true })
  return promise
}

function warn(work: ReadingWork, why: string, context: RunContext): void {
  context.report({
    kind: 'warning',
    message: `the repository does not know of this ${work}: ${why}`,
    hint: `Make sure that nothing is expired from it for the next day, or until the ${work} has ended.`,
  })
}
