import { describe, test } from 'node:test'
import { everydayMajors } from '../support/everyday.ts'
import { createScratch } from '../support/scratch.ts'
import { liveThrough } from './random-history.ts'

/** Always the same here, so that a failure is of the change that is tested; other seeds are for `npm run test:soak`. */
const seed = Number(process.env['HOLDFAST_SEED'] ?? 646_342_271)
/** With checksums, and without. */
const variants = everydayMajors.map((major) => ({ major, checksums: major % 3 === 0 }))

describe(`an incremental, through a random history of seed ${seed},`, { concurrency: 2 }, () => {
  for (const { major, checksums } of variants) {
    const kind = `PostgreSQL ${major} ${checksums ? 'with' : 'without'} checksums`
    test(`finds all that ${kind} has changed (R50, R51, R53)`, async () => {
      await using scratch = await createScratch('history')
      const told: string[] = []
      try {
        await liveThrough(
          {
            seed,
            major,
            checksums,
            walSegmentSizeMb: 16,
            steps: 1,
            tell: (line) => void told.push(line),
          },
          scratch,
        )
      } catch (cause) {
        throw new Error(`HOLDFAST_SEED=${seed} replays it:\n${told.join('\n')}`, { cause })
      }
    })
  }
})
