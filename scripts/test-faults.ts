// Sweeps: every command that changes something is killed, and gets EIO and ENOSPC, at each of its file-system calls, one
// at a time; docs/reliability.md says what must hold after each. First at the calls of node:fs, then at those of the
// kernel, for which strace is needed. With arguments, only the commands that contain one of them in their name.
// HOLDFAST_FAULT_STRIDE=N takes every N-th fault, HOLDFAST_FAULT_STRACE=no leaves strace out.
import { spawnSync } from 'node:child_process'
import { faultCases } from '../test/faults/case-table.ts'
import type { FaultCase, FaultStage } from '../test/faults/fault-case.ts'
import { planStraceTrials } from '../test/faults/run-with-strace.ts'
import { faultsOf, recordCalls, spreadFaults, sweep, tapTrial, type Trial } from '../test/faults/sweep.ts'
import { createScratch } from '../test/support/scratch.ts'

interface Row {
  readonly command: string
  readonly calls: number
  readonly kill: number
  readonly EIO: number
  readonly ENOSPC: number
  readonly short: number
  readonly survived: number
  readonly failures: number
}

const wanted = process.argv.slice(2)
const stride = Number(process.env['HOLDFAST_FAULT_STRIDE'] ?? '1')
const withStrace = process.env['HOLDFAST_FAULT_STRACE'] !== 'no'
const rows: Row[] = []

if (withStrace) requireStrace()
for (const faultCase of faultCases) {
  if (wanted.length > 0 && !wanted.some((part) => faultCase.name.includes(part))) continue
  await using scratch = await createScratch('sweep')
  await using stage = await faultCase.stage(scratch)
  rows.push(await sweepCalls(faultCase, stage, 'changes'))
  rows.push(await sweepCalls(faultCase, stage, 'reads'))
  if (withStrace && faultCase.isTraced === true) rows.push(await sweepSystemCalls(faultCase, stage))
}
console.table(rows)
process.exitCode = rows.length > 0 && rows.every(({ failures }) => failures === 0) ? 0 : 1

async function sweepCalls(
  { name: command, mostPerOperation = Infinity }: FaultCase,
  stage: FaultStage,
  watches: 'changes' | 'reads',
): Promise<Row> {
  const name = watches === 'changes' ? command : `${command}, reads`
  const calls = await recordCalls(stage, watches)
  const all = faultsOf(calls)
  const faults = spreadFaults({ faults: all, calls }, { stride, mostPerOperation })
  console.log(`${name}: ${calls.length} calls, ${faults.length} of ${all.length} faults`)
  return report(name, {
    stage,
    trials: faults.map((fault) => tapTrial(fault, watches)),
    callCount: calls.length,
  })
}

async function sweepSystemCalls({ name }: FaultCase, stage: FaultStage): Promise<Row> {
  await using turn = await stage.turn()
  const { trials, leftOutCount } = await planStraceTrials(turn.command)
  const taken = trials.filter((_, index) => index % stride === 0)
  console.log(
    `${name}, system calls: ${taken.length} of ${trials.length} faults; ${leftOutCount} places are Node's own`,
  )
  return await report(`${name}, system calls`, { stage, trials: taken, callCount: trials.length })
}

interface Sweep {
  readonly stage: FaultStage
  readonly trials: readonly Trial[]
  readonly callCount: number
}

async function report(command: string, { stage, trials, callCount }: Sweep): Promise<Row> {
  const tell = (line: string): void => console.log(`${command}: ${line}`)
  const { struck, survivedCount, failures } = await sweep(stage, trials, tell)
  return {
    command,
    calls: callCount,
    ...struck,
    survived: survivedCount,
    failures: failures.length,
  }
}

/** As root it is installed where Debian's packages are; everybody else is told. */
function requireStrace(): void {
  if (hasStrace()) return
  if (process.geteuid?.() === 0) spawnSync('apt-get', ['install', '-y', 'strace'], { stdio: 'inherit' })
  if (hasStrace()) return
  console.error('error: the sweep of system calls needs strace: install it, or set HOLDFAST_FAULT_STRACE=no')
  process.exit(1)
}

function hasStrace(): boolean {
  return spawnSync('strace', ['--version'], { stdio: 'ignore' }).status === 0
}
