import assert from 'node:assert/strict'
import { expectOk, runHoldfast, type HoldfastResult } from '../support/holdfast.ts'
import type { FaultCase, FaultStage, FaultTurn } from './fault-case.ts'
import { begins, runWithTap } from './run-with-tap.ts'
import { faultKinds, type Fault, type FaultKind, type TapBegin } from './tap-settings.ts'

export interface SweepReport {
  readonly name: string
  /** How many calls the command makes when nothing goes wrong. */
  readonly callCount: number
  /** How many faults of each kind struck. */
  readonly struck: Readonly<Record<FaultKind, number>>
  /** How many faults did not keep the command from its goal. */
  readonly survivedCount: number
  readonly failures: readonly SweepFailure[]
}

interface SweepFailure {
  readonly fault: Fault
  readonly call: TapBegin | undefined
  readonly message: string
}

/** Runs the command once without a fault, checks that it did its work, and gives its calls. */
export async function recordCalls(stage: FaultStage): Promise<readonly TapBegin[]> {
  await using turn = await stage.turn()
  const { result, events } = await runWithTap(turn.command)
  await turn.afterSuccess(expectOk(result))
  return begins(events).toSorted((one, other) => one.call - other.call)
}

/** The faults that mean something: not every call can run out of space. */
export function faultsOf(calls: readonly TapBegin[]): readonly Fault[] {
  return faultKinds.flatMap((kind) =>
    calls.filter((call) => kind !== 'ENOSPC' || needsSpace(call)).map(({ call }) => ({ kind, at: call })),
  )
}

interface Spread {
  /** Every so manieth fault. */
  readonly stride: number
  /** So many of each kind of fault at each sort of call. */
  readonly mostPerOperation: number
}

/** Evenly spread faults, so that no sort of call and no kind of fault goes without. */
export function spreadFaults(
  { faults, calls }: { readonly faults: readonly Fault[]; readonly calls: readonly TapBegin[] },
  { stride, mostPerOperation }: Spread,
): readonly Fault[] {
  const sortOf = ({ kind, at }: Fault): string => {
    const call = calls[at - 1]
    return `${kind} ${call?.operation} ${call?.creates === true}`
  }
  const groups = Map.groupBy(faults, sortOf)
  return [...groups.values()]
    .flatMap((group) => {
      const step = Math.max(stride, Math.ceil(group.length / mostPerOperation))
      // Counted from the end: what is made durable last is what decides.
      return group.filter((_, index) => (group.length - 1 - index) % step === 0)
    })
    .toSorted((one, other) => one.at - other.at)
}

/** Runs the command once for each fault, in a fresh place each time, and asserts U1 to U6 after it. */
export async function sweep(
  { name, stage }: { readonly name: FaultCase['name']; readonly stage: FaultStage },
  { faults, calls }: { readonly faults: readonly Fault[]; readonly calls: readonly TapBegin[] },
  tell: (line: string) => void,
): Promise<SweepReport> {
  const struck: Record<FaultKind, number> = { kill: 0, EIO: 0, ENOSPC: 0 }
  const failures: SweepFailure[] = []
  let survivedCount = 0
  for (const fault of faults) {
    const turn = await takeTurn(stage, fault)
    if (turn.call !== undefined) struck[fault.kind] += 1
    if (turn.isSurvived) survivedCount += 1
    if (turn.message === undefined) continue
    failures.push({ fault, call: turn.call, message: turn.message })
    tell(`${name}: ${describeFault(fault, turn.call)}: ${turn.message}`)
  }
  return { name, callCount: calls.length, struck, survivedCount, failures }
}

function describeFault({ kind, at }: Fault, call: TapBegin | undefined): string {
  if (call === undefined) return `${kind} at call ${at}, which it did not come to`
  const { operation, path, to } = call
  return `${kind} at call ${at}, ${operation} ${path}${to === undefined ? '' : ` to ${to}`}`
}

interface TakenTurn {
  readonly call: TapBegin | undefined
  readonly isSurvived: boolean
  /** What went wrong; undefined when nothing did. */
  readonly message: string | undefined
}

async function takeTurn(stage: FaultStage, fault: Fault): Promise<TakenTurn> {
  await using turn = await stage.turn()
  const { result, struck } = await runWithTap(turn.command, { fault })
  const done = { call: struck, isSurvived: struck !== undefined && result.code === 0 }
  try {
    await check(turn, { fault, isStruck: struck !== undefined, result })
    return { ...done, message: undefined }
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    return { ...done, message: `${message}\n  it had said: ${result.stderr.trim()}` }
  }
}

interface Struck {
  readonly fault: Fault
  readonly isStruck: boolean
  readonly result: HoldfastResult
}

async function check(turn: FaultTurn, { fault, isStruck, result }: Struck): Promise<void> {
  const isKilled = fault.kind === 'kill' && isStruck
  if (isKilled)
    assert.equal(result.signal, 'SIGKILL', `expected a death by SIGKILL, found code ${result.code}`)
  else checkAnswer(turn, { isStruck, result })
  await turn.afterFault({ isKilled, result })
  if (result.code === 0) return turn.afterSuccess(result)
  const again = await runHoldfast(turn.command.args, turn.command.options)
  assert.ok(again.code === 0, `U5: the same command again: code ${again.code}, ${again.stderr}`)
  return turn.afterSuccess(again)
}

/** U4: one error line, no stack, and an exit code that says failure. */
function checkAnswer(turn: FaultTurn, { isStruck, result }: Omit<Struck, 'fault'>): void {
  const { code, signal, stderr } = result
  assert.equal(signal, null, `U4: expected an exit, found ${signal}`)
  if (code === 0) return
  assert.ok(isStruck, `it failed without a fault, code ${code}`)
  const { isFailureCode = (found) => found >= 1 && found <= 6 } = turn
  assert.ok(code !== null && isFailureCode(code), `U4: exit code ${code}`)
  const errors = stderr.split('\n').filter((line) => line.startsWith('error: '))
  assert.equal(errors.length, 1, `U4: expected one error line, found ${errors.length}`)
  assert.doesNotMatch(stderr, /^error: internal error|^ {4}at |ERR_/m, 'U4: not for operators')
}

function needsSpace({ operation, creates }: TapBegin): boolean {
  if (operation === 'open') return creates === true
  return ['write', 'fsync', 'rename', 'link', 'symlink', 'mkdir', 'truncate'].includes(operation)
}
