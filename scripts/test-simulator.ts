// Lives through histories of the repository's protocol (test/simulator). Without options a hundred thousand, on all
// processors, from a random seed. `--histories N`, `--from SEED`; `--seed SEED` replays one and prints every call.
import { fork } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { simulate } from '../test/simulator/simulate.ts'

const { values } = parseArgs({
  options: {
    histories: { type: 'string', default: '100000' },
    from: { type: 'string' },
    seed: { type: 'string' },
    worker: { type: 'boolean', default: false },
  },
})
const histories = Number(values.histories)
const from = values.from === undefined ? randomInt(2 ** 31) : Number(values.from)

if (values.seed !== undefined) process.exitCode = await replay(Number(values.seed))
else if (values.worker) process.exitCode = await live()
else process.exitCode = await spread()

async function replay(seed: number): Promise<number> {
  const { trace, broken } = await simulate(seed)
  for (const line of trace) console.log(line)
  for (const line of broken) console.error(`broken: ${line}`)
  return broken.length > 0 ? 1 : 0
}

async function live(): Promise<number> {
  for (let seed = from; seed < from + histories; seed += 1) {
    const { broken } = await simulate(seed)
    for (const line of broken) console.error(`seed ${seed}: ${line}`)
    if (broken.length > 0) return 1
    if ((seed - from + 1) % 1000 === 0) console.log(`${seed - from + 1} of ${histories} from seed ${from}`)
  }
  return 0
}

/** Each process takes its share; the first that fails decides. */
async function spread(): Promise<number> {
  const processes = availableParallelism()
  const share = Math.ceil(histories / processes)
  console.log(`${share * processes} histories from seed ${from}`)
  const codes = await Promise.all(
    Array.from({ length: processes }, (_, index) => {
      const options = ['--worker', '--histories', `${share}`, '--from', `${from + index * share}`]
      const child = fork(import.meta.filename, options)
      return new Promise<number>((resolve) => child.on('exit', (code) => resolve(code ?? 1)))
    }),
  )
  const isGood = codes.every((code) => code === 0)
  console.log(isGood ? 'no promise was broken' : 'a promise was broken: replay it with --seed')
  return isGood ? 0 : 1
}
