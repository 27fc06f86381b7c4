// Lives through random histories of a server with an audited incremental after each step (test/oracle), one after the
// other. `--minutes N` says how long (60), `--major N` on which PostgreSQL only. `--seed N` replays one history, and with
// `--minutes` goes on from there. `--chain N` grows a chain of N incrementals instead, and restores all that is left of it.
import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { growChain } from '../test/oracle/incremental-chain.ts'
import { liveThrough } from '../test/oracle/random-history.ts'
import { createScratch } from '../test/support/scratch.ts'
import { supportedMajors, type Major } from '../test/support/server-binaries.ts'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string' },
    seed: { type: 'string' },
    major: { type: 'string' },
    chain: { type: 'string' },
  },
})
const firstSeed = values.seed === undefined ? randomInt(2 ** 31) : Number(values.seed)
const minutes = Number(values.minutes ?? (values.seed === undefined ? 60 : 0))
const totals: Record<string, { histories: number; actions: number; audits: number }> = {}

process.exitCode = values.chain === undefined ? await soak() : await chain(Number(values.chain))

async function soak(): Promise<number> {
  const deadline = performance.now() + minutes * 60_000
  let seed = firstSeed
  do {
    const major = majorFor(seed)
    if (!(await isGood(seed, major))) {
      console.error(`failed: replay it with "npm run test:soak -- --seed ${seed} --major ${major}"`)
      return 1
    }
    seed += 1
  } while (performance.now() < deadline)
  console.table(totals)
  return 0
}

/** All of it follows from the seed and the major. */
async function isGood(seed: number, major: Major): Promise<boolean> {
  const checksums = seed % 2 === 0
  const walSegmentSizeMb = seed % 3 === 0 ? 1 : 16
  console.log(
    `seed ${seed}: PostgreSQL ${major} ${checksums ? 'with' : 'without'} checksums, segments of ${walSegmentSizeMb} MB`,
  )
  await using scratch = await createScratch('soak')
  try {
    const options = { seed, major, checksums, walSegmentSizeMb, steps: 5, tell } as const
    const { actions, audits } = await liveThrough(options, scratch)
    const total = (totals[major] ??= { histories: 0, actions: 0, audits: 0 })
    total.histories += 1
    total.actions += actions
    total.audits += audits
    return true
  } catch (error) {
    console.error(error)
    return false
  }
}

async function chain(incrementals: number): Promise<number> {
  const major = majorFor(firstSeed)
  const replay = `--chain ${incrementals} --seed ${firstSeed} --major ${major}`
  console.log(`a chain: ${replay}`)
  await using scratch = await createScratch('chain')
  try {
    const options = { seed: firstSeed, major, incrementals, deleteEvery: 4, tell }
    console.log(await growChain(options, scratch))
    return 0
  } catch (error) {
    console.error(error)
    console.error(`failed: replay it with "npm run test:soak -- ${replay}"`)
    return 1
  }
}

function majorFor(seed: number): Major {
  const wanted = Number(values.major ?? supportedMajors[seed % supportedMajors.length])
  const major = supportedMajors.find((supported) => supported === wanted)
  if (major === undefined) throw new Error(`--major: expected one of ${supportedMajors.join(', ')}`)
  return major
}

function tell(line: string): void {
  console.log(`  ${new Date().toISOString().slice(11, 19)} ${line}`)
}
