// Compresses files as a backup does, a megabyte at a time, at several zstd levels, and prints CPU seconds per gigabyte and
// the ratio. Run: node bench/levels.ts FILE...
import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { packPayload } from '../src/codec/compression.ts'

const unitBytes = 1024 * 1024
const levels = [1, 2, 3]
const gigabyte = 1e9

console.log(['file', ...levels.flatMap((level) => [`s/GB at ${level}`, 'ratio'])].join('\t'))
for (const file of process.argv.slice(2)) {
  const bytes = readFileSync(file)
  const cells = levels.flatMap((level) => {
    const { seconds, ratio } = measure(bytes, level)
    return [seconds.toFixed(2), ratio.toFixed(2)]
  })
  console.log([basename(file), ...cells].join('\t'))
}

/** The best of three: what else runs on the machine only makes it slower. */
function measure(bytes: Buffer, level: number): { seconds: number; ratio: number } {
  let [seconds, packed] = [Infinity, 0]
  for (let round = 0; round < 3; round += 1) {
    const before = process.cpuUsage()
    packed = 0
    for (let offset = 0; offset < bytes.length; offset += unitBytes)
      packed += lengthOf(packPayload(bytes.subarray(offset, offset + unitBytes), level))
    const { user, system } = process.cpuUsage(before)
    seconds = Math.min(seconds, ((user + system) / 1e6) * (gigabyte / bytes.length))
  }
  return { seconds, ratio: bytes.length / packed }
}

function lengthOf(pieces: readonly Uint8Array[]): number {
  return pieces.reduce((sum, { length }) => sum + length, 0)
}
