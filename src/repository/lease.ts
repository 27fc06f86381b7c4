import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import {
  isHeld,
  leaseLifetimeMs,
  listBeats,
  readNewestBeat,
  releasedBeat,
  writeBeat,
  type LeaseBeat,
  type LeaseRequest,
} from './lease-beat.ts'
import { leaseKey } from './object-keys.ts'
import type { Repository } from './open-repository.ts'
import { tidyAway } from './tidy-away.ts'

const beatIntervalMs = leaseLifetimeMs / 3
const releaseTimeoutMs = 30_000
/** Between two looks at a listing that lags behind. */
const lagPauseMs = 1000
const mostAttempts = 10

/**
 * A lease on write-once objects. Claiming writes `TOKEN.0`, which only one process can; the token rises with every
 * claim and so fences: who finds a higher one has lost. Being alive is shown by `TOKEN.1`, `TOKEN.2`, ... The holder of a
 * lease that has had no beat for its lifetime plus the clock skew, or whose process is provably dead, is passed over.
 */
export class Lease implements AsyncDisposable {
  readonly token: number
  /** Aborted when the lease is lost: the work must stop, somebody else may hold it. */
  readonly lost: AbortSignal
  readonly #repository: Repository
  readonly #request: LeaseRequest
  readonly #context: RunContext
  readonly #losing = new AbortController()
  readonly #ending = new AbortController()
  readonly #tidying: Promise<void>
  readonly #beating: Promise<void>
  #beat = 0
  #beatAt: { readonly monotonic: number; readonly wall: number }

  /** Use `acquireLease`. */
  constructor(
    repository: Repository,
    request: LeaseRequest,
    { token, older, context }: { token: number; older: readonly string[]; context: RunContext },
  ) {
    this.#repository = repository
    this.#request = request
    this.#context = context
    this.token = token
    this.lost = this.#losing.signal
    this.#beatAt = this.#readClocks()
    this.#tidying = this.#forgetOlder(older)
    this.#beating = this.#keepBeating()
  }

  /**
   * Proves, right before something that cannot be undone, that nobody else has taken over. Throws `lease-lost`. Both
   * clocks count: the monotonic one does not run while the machine sleeps, the wall clock may be set back.
   */
  async confirm(): Promise<void> {
    for (;;) {
      const ageMs = this.#ageMs()
      if (this.lost.aborted || ageMs >= leaseLifetimeMs)
        throw this.#lose(`it was not renewed for ${Math.round(ageMs / 1000)} s`)
      const newest = (await listBeats(this.#repository, this.#request, this.#context)).at(-1)
      if (newest?.position.token === this.token) return
      if (newest !== undefined && newest.position.token > this.token)
        throw this.#lose('another process has taken it over')
      // Tokens only rise: a listing without ours is older than our claim, and says nothing.
      await this.#context.clock.sleep(lagPauseMs, this.#context.signal)
    }
  }

  /**
   * Releases the lease, so that the next one need not wait. Never throws: how the work went is what counts, and a lease
   * that was not released is passed over when it has been silent for long enough.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort()
    await Promise.all([this.#beating, this.#tidying])
    if (this.lost.aborted) return
    try {
      await this.#release()
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      const message = `could not release the lease for "${this.#request.purpose}": ${why}`
      this.#context.report({ kind: 'warning', message, hint: 'Others pass it over after four minutes.' })
    }
  }

  async #release(): Promise<void> {
    const context = { ...this.#context, signal: AbortSignal.timeout(releaseTimeoutMs) } // also after a cancellation
    const position = { token: this.token, beat: releasedBeat }
    // At once: a store may be far away. Dying in between leaves a beat that nobody renews, which is passed over.
    await Promise.all([
      writeBeat(this.#repository, this.#request, { position, context }),
      this.#forgetBeats([this.#beat - 1, this.#beat], context),
    ])
  }

  /** Beside the work, which does not wait for it. What stays is found by the next one. */
  async #forgetOlder(keys: readonly string[]): Promise<void> {
    // Whatever kept it from that, the work meets as well if it matters.
    await tidyAway(this.#repository, keys, this.#context).catch(() => undefined)
  }

  async #keepBeating(): Promise<void> {
    const signal = this.#ending.signal
    while (!this.#isEnding() && !this.lost.aborted) {
      try {
        await this.#context.clock.sleep(beatIntervalMs, signal)
        // Silent for that long, others have acted as if it were free: a beat now would hide it.
        if (this.#ageMs() >= leaseLifetimeMs)
          throw this.#lose(`it was not renewed for ${leaseLifetimeMs / 1000} s`)
        await this.#writeNextBeat({ ...this.#context, signal })
      } catch (cause) {
        if (!this.#isEnding() && this.#isOverdue()) this.#lose('it could not be renewed', cause)
      }
    }
  }

  async #writeNextBeat(context: RunContext): Promise<void> {
    const clocks = this.#readClocks()
    const position = { token: this.token, beat: this.#beat + 1 }
    await writeBeat(this.#repository, this.#request, { position, context })
    this.#beat = position.beat
    this.#beatAt = clocks
    // The one before stays for one more round: a listing that misses the newest beat must still see a fresh one.
    await this.#forgetBeats([this.#beat - 2], context)
  }

  /** Beat 0 stays: it keeps the token taken. */
  async #forgetBeats(beats: readonly number[], context: RunContext): Promise<void> {
    const { clusterId, scope } = this.#request
    const keys = beats
      .filter((beat) => beat > 0)
      .map((beat) => leaseKey(clusterId, scope, { token: this.token, beat }))
    await tidyAway(this.#repository, keys, context)
  }

  #isEnding(): boolean {
    return this.#ending.signal.aborted
  }

  #ageMs(): number {
    const now = this.#readClocks()
    return Math.max(now.monotonic - this.#beatAt.monotonic, now.wall - this.#beatAt.wall)
  }

  #isOverdue(): boolean {
    const now = this.#readClocks()
    return now.monotonic - this.#beatAt.monotonic + beatIntervalMs >= leaseLifetimeMs
  }

  #readClocks(): { monotonic: number; wall: number } {
    return { monotonic: this.#context.clock.monotonic(), wall: this.#context.clock.now() }
  }

  #lose(reason: string, cause?: unknown): OperationError {
    const error = new OperationError(
      'lease-lost',
      `holding the lease for "${this.#request.purpose}": ${reason}`,
      {
        cause,
        hint: 'Run the command again; nothing half-done is listed.',
      },
    )
    this.#losing.abort(error)
    return error
  }
}

/** Takes the lease, or throws `busy` saying who holds it since when. */
export async function acquireLease(
  repository: Repository,
  request: LeaseRequest,
  context: RunContext,
): Promise<Lease> {
  for (let attempt = 0; attempt < mostAttempts; attempt += 1) {
    const listed = await listBeats(repository, request, context)
    const newest = await readNewestBeat(repository, { ...request, listed }, context)
    if (newest !== undefined) await refuseIfHeld(repository, { newest, request }, context)
    const token = (newest?.token ?? 0) + 1
    const answer = await writeBeat(repository, request, { position: { token, beat: 0 }, context })
    if (answer === 'exists') continue // somebody was faster: look again
    const older = listed.map(({ object }) => object.key)
    return new Lease(repository, request, { token, older, context })
  }
  throw new OperationError(
    'busy',
    `taking the lease for "${request.purpose}": others were faster ${mostAttempts} times`,
  )
}

async function refuseIfHeld(
  repository: Repository,
  { newest, request }: { readonly newest: LeaseBeat; readonly request: LeaseRequest },
  context: RunContext,
): Promise<void> {
  const { clusterId, holder: self } = request
  if (!(await isHeld(repository, { clusterId, newest, self }, context))) return
  const { holder } = newest
  const where = holder === undefined ? '' : ` on host "${holder.host}" as process ${holder.pid}`
  throw new OperationError(
    'busy',
    `taking the lease for "${request.purpose}": "${newest.purpose}" runs${where}`,
    {
      hint: 'Wait until it has ended; a process that died on another host is passed over after four minutes.',
    },
  )
}
