import type { Clock } from '../../src/domain/run-context.ts'
import { OperationError } from '../../src/domain/operation-error.ts'
import type { Random } from '../support/seeded-random.ts'

const secondMs = 1000
const minuteMs = 60_000
const hourMs = 3_600_000

/** How unkind a world is: how many of a thousand store calls meet with each. */
export interface Faults {
  readonly crashes: number
  readonly failures: number
  readonly pauses: number
}

/** One run of a command. Dies when it crashes: then none of its calls ever returns. */
export interface SimulatedProcess {
  readonly name: string
  /** How far its host's clock is off. */
  readonly skewMs: number
  isCrashed: boolean
  pausedUntil: number
  /** The longest that it stood still: after a minute a lease is gone. */
  longestPauseMs: number
  /** Resolves when it crashes. */
  readonly died: Promise<void>
  readonly die: () => void
}

interface ParkedCall {
  readonly process: SimulatedProcess
  readonly run: () => void
  readonly fail: (error: Error) => void
  readonly description: string
}

interface Sleeper {
  readonly process: SimulatedProcess
  readonly until: number
  readonly wake: () => void
}

/**
 * A world of processes that do nothing but call a store and sleep. One call happens at a time; which one is next, how long
 * it takes, and who crashes, fails or stands still is decided by a seed alone. Time passes only here.
 */
export class VirtualWorld {
  now = 1_800_000_000_000
  readonly trace: string[] = []
  readonly random: Random
  #faults: Faults
  #parked: ParkedCall[] = []
  #sleepers: Sleeper[] = []

  constructor(random: Random, faults: Faults) {
    this.random = random
    this.#faults = faults
  }

  /** From now on nothing goes wrong any more. */
  calm(): void {
    this.#faults = { crashes: 0, failures: 0, pauses: 0 }
  }

  spawn(name: string, skewMs: number): SimulatedProcess {
    const { promise: died, resolve: die } = Promise.withResolvers<void>()
    return { name, skewMs, isCrashed: false, pausedUntil: 0, longestPauseMs: 0, died, die }
  }

  clockOf(process: SimulatedProcess): Clock {
    return {
      now: () => this.now + process.skewMs,
      monotonic: () => this.now,
      sleep: (ms, signal) =>
        new Promise((resolve, reject) => {
          if (signal.aborted) {
            reject(reasonOf(signal))
            return
          }
          const sleeper = { process, until: this.now + ms, wake: resolve }
          this.#sleepers.push(sleeper)
          signal.addEventListener(
            'abort',
            () => {
              this.#sleepers = this.#sleepers.filter((other) => other !== sleeper)
              reject(reasonOf(signal))
            },
            { once: true },
          )
        }),
    }
  }

  /** Waits until it is this call's turn. Rejects when the call is to fail; never returns in a process that has crashed. */
  turn(process: SimulatedProcess, description: string): Promise<void> {
    return new Promise((run, fail) => {
      if (!process.isCrashed) this.#parked.push({ process, run, fail, description })
    })
  }

  /** Runs until `isOver`, or until nothing can happen any more. */
  async run(isOver: () => boolean): Promise<void> {
    for (;;) {
      await settle()
      if (isOver()) return
      const ready = this.#parked.filter(({ process }) => this.#canRun(process))
      const call = ready[this.random(ready.length)]
      if (call === undefined) {
        if (!this.#advance()) return
        continue
      }
      this.now += this.random(2 * secondMs)
      this.#wakeDue()
      this.#decide(call)
    }
  }

  #decide(call: ParkedCall): void {
    const fate = this.#drawFate(call)
    this.trace.push(
      `${this.now} ${call.process.name} ${call.description}${fate === 'run' ? '' : `: ${fate}`}`,
    )
    if (fate === 'pause') {
      this.#pause(call.process)
      return // the call stays where it is
    }
    this.#parked = this.#parked.filter((other) => other !== call)
    if (fate === 'crash') this.crash(call.process)
    else if (fate === 'fail') call.fail(new OperationError('store-failed', call.description))
    else call.run()
  }

  #drawFate({ description }: ParkedCall): 'crash' | 'fail' | 'pause' | 'run' {
    const { crashes, failures, pauses } = this.#faults
    // Right before and after what counts, standing still is worst.
    const isDecisive = description.startsWith('put') && /\/(?:catalog|lease)\//.test(description)
    const dice = this.random(1000)
    if (dice < crashes) return 'crash'
    if (dice < crashes + failures) return 'fail'
    return dice < crashes + failures + pauses * (isDecisive ? 8 : 1) ? 'pause' : 'run'
  }

  crash(process: SimulatedProcess): void {
    process.isCrashed = true
    process.die()
    this.#parked = this.#parked.filter((other) => other.process !== process)
    this.#sleepers = this.#sleepers.filter((other) => other.process !== process)
  }

  #pause(process: SimulatedProcess): void {
    const longest = [minuteMs, 20 * minuteMs, 20 * minuteMs, 2 * hourMs][this.random(4)] ?? minuteMs
    const ms = this.random(longest)
    process.pausedUntil = this.now + ms
    process.longestPauseMs = Math.max(process.longestPauseMs, ms)
  }

  #canRun(process: SimulatedProcess): boolean {
    return process.pausedUntil <= this.now
  }

  /** Goes to the next moment at which something can happen; false when there is none. */
  #advance(): boolean {
    const moments = [
      ...this.#sleepers.map(({ process, until }) => Math.max(until, process.pausedUntil)),
      ...this.#parked.map(({ process }) => process.pausedUntil),
    ]
    if (moments.length === 0) return false
    this.now = Math.max(this.now, Math.min(...moments))
    this.#wakeDue()
    return true
  }

  #wakeDue(): void {
    const due = this.#sleepers.filter(({ process, until }) => until <= this.now && this.#canRun(process))
    this.#sleepers = this.#sleepers.filter((sleeper) => !due.includes(sleeper))
    for (const { wake } of due) wake()
  }
}

const reasonOf = ({ reason }: AbortSignal): Error =>
  reason instanceof Error ? reason : new Error('aborted', { cause: reason })

/** Lets everything happen that follows from what has happened: nothing in a world waits for real time or real I/O. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
