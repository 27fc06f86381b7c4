import { randomInt } from 'node:crypto'
import { describe, test } from 'node:test'
import { createScratch } from '../support/scratch.ts'
import { supportedMajors } from '../support/server-binaries.ts'
import { liveThrough } from './random-history.ts'

const seed = Number(process.env['HOLDFAST_SEED'] ?? randomInt(2 ** 31))

describe(`an incremental, through a random history of seed ${seed},`, { concurrency: 2 }, () => {
  for (const major of supportedMajors) {
    for (const checksums of [true, false]) {
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
              steps: checksums ? 2 : 1,
              tell: (line) => void told.push(line),
            },
            scratch,
          )
        } catch (cause) {
          throw new Error(`HOLDFAST_SEED=${seed} replays it:\n${told.join('\n')}`, { cause })
        }
      })
    }
  }
})
