/** Where time comes from. Tests pass one that they move themselves. */
export interface Clock {
  /** Milliseconds since the Unix epoch, UTC. May step back; never used to measure how long something took. */
  now(): number
  /** Milliseconds since an arbitrary start; never steps back. */
  monotonic(): number
  /** Resolves after `ms`; rejects with the signal's reason when it is aborted first. */
  sleep(ms: number, signal: AbortSignal): Promise<void>
}

/** What a running operation tells about itself. The receiver decides what to show. */
export type RunEvent =
  /** A step worth a line: lower case, no full stop. */
  | { readonly kind: 'note'; readonly message: string }
  /** Something that the operator should look at although the work goes on. */
  | { readonly kind: 'warning'; readonly message: string; readonly hint?: string }
  /** How far a phase has come. `total` 0: not known yet. */
  | {
      readonly kind: 'progress'
      readonly phase: string
      readonly done: number
      readonly total: number
      readonly unit: 'bytes' | 'files' | 'segments'
    }

/** On whose behalf an operation runs: how it is cancelled, what time it is, who listens. */
export interface RunContext {
  readonly signal: AbortSignal
  readonly clock: Clock
  readonly report: (event: RunEvent) => void
}
