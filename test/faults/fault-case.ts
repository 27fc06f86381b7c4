import type { HoldfastOptions, HoldfastResult } from '../support/holdfast.ts'
import type { Scratch } from '../support/scratch.ts'

/** One run of `bin/holdfast`. */
export interface Command {
  readonly args: readonly string[]
  readonly options: HoldfastOptions
  /** Belongs to the user that the command runs as; the injector leaves its log there. */
  readonly folder: string
}

/** A command that is to hold under every fault. */
export interface FaultCase {
  readonly name: string
  /** Of calls of one sort, at most so many evenly spread ones are tried in the complete sweep. Default: all. */
  readonly mostPerOperation?: number
  /** Whether the complete sweep also goes through its system calls. */
  readonly isTraced?: boolean
  /** How many faults the sample in CI takes. */
  readonly sampleSize: number
  /** Makes what all turns begin with. */
  stage(scratch: Scratch): Promise<FaultStage>
}

export interface FaultStage extends AsyncDisposable {
  /** A fresh place, in which the command was never run. */
  turn(): Promise<FaultTurn>
}

export interface FaultTurn extends AsyncDisposable {
  readonly command: Command
  /** What a failure may exit with. Default: 1 to 6. */
  readonly isFailureCode?: (code: number) => boolean
  /**
   * After the command that met the fault, however it ended: what was acknowledged is there and reads back, nothing
   * half-done can be taken for done, nothing runs or is locked (U1, U2, U3, U6).
   */
  afterFault(outcome: Outcome): Promise<void>
  /**
   * For a command that refuses to be run over its own result: whether it was done when the fault struck, in what comes
   * after the work. Then, run again, it must refuse (5) and leave the result as it is. Default: never.
   */
  isDone?(): Promise<boolean>
  /** After it has succeeded, in spite of the fault or run again: it has done all that it does. */
  afterSuccess(result: HoldfastResult): Promise<void>
}

export interface Outcome {
  readonly isKilled: boolean
  readonly result: HoldfastResult
}
