import assert from 'node:assert/strict'
import { expectOk, runHoldfast, type HoldfastResult } from '../support/holdfast.ts'
import type { Command, FaultStage, FaultTurn } from './fault-case.ts'
import { runWithTap, begins } from './run-with-tap.ts'
import { faultKinds, type Fault, type FaultKind, type TapBegin, type TapSettings } from './tap-settings.ts'

/** One fault to be tried, by whichever means. */
export interface Trial {
  readonly kind: FaultKind
  run(command: Command): Promise<TriedRun>
}

interface TriedRun {
  readonly result: HoldfastResult
  /** At what the fault struck; undefined when the command did not come to that. */
  readonly struck: string | undefined
  /** It struck something that is not the tool's, which cannot be answered for. */
  readonly isBeside?: boolean
}

type Watches = NonNullable<TapSettings['watches']>

export interface SweepReport {
  /** How many faults of each kind struck. */
  readonly struck: Readonly<Record<FaultKind, number>>
  /** How many faults did not keep the command from its goal. */
  readonly survivedCount: number
  readonly failures: readonly string[]
}

/** Runs the command once without a fault, checks that it did its work, and gives its calls in order. */
export async function recordCalls(
  stage: FaultStage,
  watches: Watches = 'changes',
): Promise<readonly TapBegin[]> {
  await using turn = await stage.turn()
  const { result, events } = await runWithTap(turn.command, { watches })
  await turn.afterSuccess(expectOk(result))
  return begins(events).toSorted((one, other) => one.call - other.call)
}

/** The faults that mean something: not every call can run out of space. */
export function faultsOf(calls: readonly TapBegin[]): readonly Fault[] {
  return faultKinds.flatMap((kind) =>
    calls.filter((call) => canMeet(kind, call)).map(({ call }) => ({ kind, at: call })),
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

/** A fault at a call of node:fs. */
export function tapTrial(fault: Fault, watches: Watches = 'changes'): Trial {
  return {
    kind: fault.kind,
    run: async (command) => {
      const { result, struck } = await runWithTap(command, { fault, watches })
      return { result, struck: struck && describeCall(struck) }
    },
  }
}

/** Runs the command once for each fault, in a fresh place each time, and asserts U1 to U6 after it. */
export async function sweep(
  stage: FaultStage,
  trials: readonly Trial[],
  tell: (line: string) => void,
): Promise<SweepReport> {
  const struck: Record<FaultKind, number> = { kill: 0, EIO: 0, ENOSPC: 0, short: 0 }
  const failures: string[] = []
  let survivedCount = 0
  for (const trial of trials) {
    const outcome = await take(stage, trial)
    if (outcome.struck !== undefined) struck[trial.kind] += 1
    if (outcome.isSurvived) survivedCount += 1
    const { message } = outcome
    if (message === undefined) continue
    tell(message)
    failures.push(message)
  }
  return { struck, survivedCount, failures }
}

interface Taken {
  readonly struck: string | undefined
  readonly isSurvived: boolean
  /** What went wrong; undefined when nothing did. */
  readonly message: string | undefined
}

async function take(stage: FaultStage, trial: Trial): Promise<Taken> {
  await using turn = await stage.turn()
  const { result, struck, isBeside = false } = await trial.run(turn.command)
  if (isBeside) return { struck: undefined, isSurvived: false, message: undefined }
  const taken = { struck, isSurvived: struck !== undefined && result.code === 0 }
  try {
    await check(turn, { kind: trial.kind, isStruck: struck !== undefined, result })
    return { ...taken, message: undefined }
  } catch (error) {
    const what = error instanceof Error ? error.message : String(error)
    const said = result.stderr.trim().replaceAll('\n', '\n    ')
    return { ...taken, message: `${trial.kind} at ${struck ?? 'nothing'}\n  ${what}\n  it had said: ${said}` }
  }
}

interface Struck {
  readonly kind: FaultKind
  readonly isStruck: boolean
  readonly result: HoldfastResult
}

async function check(turn: FaultTurn, { kind, isStruck, result }: Struck): Promise<void> {
  const isKilled = kind === 'kill' && isStruck
  if (isKilled)
    assert.equal(result.signal, 'SIGKILL', `expected a death by SIGKILL, found code ${result.code}`)
  else checkAnswer(turn, { isStruck, result })
  await turn.afterFault({ isKilled, result })
  if (result.code === 0) return turn.afterSuccess(result)
  const isDone = (await turn.isDone?.()) === true
  const again = await runHoldfast(turn.command.args, turn.command.options)
  if (isDone) {
    assert.equal(again.code, 5, `U5: over its own result: code ${again.code}, ${again.stderr}`)
    return turn.afterSuccess(result)
  }
  assert.ok(again.code === 0, `U5: the same command again: code ${again.code}, ${again.stderr}`)
  return turn.afterSuccess(again)
}

/** U4: one error line, no stack, and an exit code that says failure. */
function checkAnswer(turn: FaultTurn, { isStruck, result }: Omit<Struck, 'kind'>): void {
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

function describeCall({ call, operation, path, to }: TapBegin): string {
  return `call ${call}, ${operation} ${path}${to === undefined ? '' : ` to ${to}`}`
}

function canMeet(kind: FaultKind, call: TapBegin): boolean {
  const isRead = call.operation === 'read' || (call.operation === 'open' && call.creates === undefined)
  switch (kind) {
    case 'kill':
      return call.operation !== 'read'
    case 'EIO':
      return true
    case 'ENOSPC':
      return !isRead && needsSpace(call)
    case 'short':
      return ['read', 'write'].includes(call.operation) && (call.lengthBytes ?? 0) > 1
  }
}

function needsSpace({ operation, creates }: TapBegin): boolean {
  if (operation === 'open') return creates === true
  return ['write', 'fsync', 'rename', 'link', 'symlink', 'mkdir', 'truncate'].includes(operation)
}
