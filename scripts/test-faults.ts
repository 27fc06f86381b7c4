// Sweeps: every command that changes something is killed, and gets EIO and ENOSPC, at each of its file-system calls, one
// at a time; docs/reliability.md says what must hold after each. With arguments, only the commands that contain one of
// them in their name. HOLDFAST_FAULT_STRIDE=N takes every N-th fault.
import { faultCases } from '../test/faults/case-table.ts'
import { faultsOf, recordCalls, spreadFaults, sweep, type SweepReport } from '../test/faults/sweep.ts'
import { createScratch } from '../test/support/scratch.ts'

const wanted = process.argv.slice(2)
const stride = Number(process.env['HOLDFAST_FAULT_STRIDE'] ?? '1')
const reports: SweepReport[] = []

for (const faultCase of faultCases) {
  if (wanted.length > 0 && !wanted.some((part) => faultCase.name.includes(part))) continue
  const { name, mostPerOperation = Infinity } = faultCase
  await using scratch = await createScratch('sweep')
  await using stage = await faultCase.stage(scratch)
  const calls = await recordCalls(stage)
  const all = faultsOf(calls)
  const faults = spreadFaults({ faults: all, calls }, { stride, mostPerOperation })
  console.log(`${name}: ${calls.length} calls, ${faults.length} of ${all.length} faults`)
  reports.push(await sweep({ name, stage }, { faults, calls }, console.log))
}

console.table(reports.map(toRow))
process.exitCode = reports.length > 0 && reports.every(({ failures }) => failures.length === 0) ? 0 : 1

function toRow({ name, callCount, struck, survivedCount, failures }: SweepReport): Record<string, unknown> {
  return { command: name, calls: callCount, ...struck, survived: survivedCount, failures: failures.length }
}
