// Writes a history of WAL with six accidents in it, finds them, restores to the moment before each and brings its table back
// (test/oracle/bad-nights.ts). `--gigabytes N` says how much WAL (20), `--major N` on which PostgreSQL (the newest).
import { parseArgs } from 'node:util'
import { liveThroughNights } from '../test/oracle/bad-nights.ts'
import { createScratch } from '../test/support/scratch.ts'
import { supportedMajors } from '../test/support/server-binaries.ts'

const { values } = parseArgs({
  options: { gigabytes: { type: 'string', default: '20' }, major: { type: 'string' } },
})
const major = supportedMajors.find(
  (supported) => supported === Number(values.major ?? supportedMajors.at(-1)),
)
if (major === undefined) throw new Error(`--major: expected one of ${supportedMajors.join(', ')}`)

await using scratch = await createScratch('history')
console.log(`PostgreSQL ${major}, ${values.gigabytes} GB of WAL`)
console.log(await liveThroughNights({ major, walBytes: Number(values.gigabytes) * 1e9, tell }, scratch))

function tell(line: string): void {
  console.log(`  ${new Date().toISOString().slice(11, 19)} ${line}`)
}
