import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Scratch } from '../../support/scratch.ts'
import type { FaultCase, FaultStage, FaultTurn, Outcome } from '../fault-case.ts'
import { age, readBack, temporariesOf } from '../read-back.ts'
import { createArchiveStage, type ArchivePlaceForTurn, type ArchiveStage } from './archive-stage.ts'

/** P2. One segment. */
export const archivePush: FaultCase = {
  name: 'archive-push',
  isTraced: true,
  sampleSize: 4,
  stage: (scratch) => stage(scratch, []),
}

/** P2, P3. One segment and those that wait behind it, which are acknowledged before PostgreSQL asks for them. */
export const archivePushAhead: FaultCase = {
  name: 'archive-push --ahead',
  isTraced: true,
  sampleSize: 4,
  stage: (scratch) => stage(scratch, ['--ahead']),
}

async function stage(scratch: Scratch, options: readonly string[]): Promise<FaultStage> {
  const archive = await createArchiveStage(scratch)
  return {
    turn: async () => new PushTurn(archive, await archive.place(), options),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
}

class PushTurn implements FaultTurn {
  readonly command: FaultTurn['command']
  readonly #stage: ArchiveStage
  readonly #place: ArchivePlaceForTurn
  readonly #first: string

  constructor(archive: ArchiveStage, place: ArchivePlaceForTurn, options: readonly string[]) {
    this.#stage = archive
    this.#place = place
    this.#first = archive.waiting[0] ?? assert.fail('no segment waits')
    const path = join(place.walFolder, this.#first)
    this.command = {
      args: ['archive-push', ...options, path],
      options: place.options,
      folder: place.folder,
    }
  }

  // More than 125 would stop the archiver (M12).
  isFailureCode = (code: number): boolean => code >= 1 && code <= 5

  async afterFault({ isKilled, result }: Outcome): Promise<void> {
    await this.#readBack(result.code === 0 ? [this.#first] : [])
    const left = await temporariesOf(this.#place.site)
    // In the sweep, a file can stay because removing it is what fails.
    assert.ok(left.length <= (isKilled ? 3 : 1), `U6: left behind: ${left.join(', ')}`)
    await age(left)
  }

  async afterSuccess(): Promise<void> {
    await this.#readBack([this.#first])
    assert.deepEqual(await temporariesOf(this.#place.site), [], 'U6: what is old is removed by the next push')
  }

  /** An acknowledgement is as good as an exit code 0 (R27). */
  async #readBack(acknowledged: readonly string[]): Promise<void> {
    const { site, walFolder } = this.#place
    const names = await readdir(join(walFolder, 'holdfast-ack')).catch(() => [])
    const ahead = names.filter((name) => !name.startsWith('.'))
    const walFiles = [...this.#stage.archived, ...acknowledged, ...ahead]
    await readBack(site, { acknowledged: { walFiles }, walFolder })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#place[Symbol.asyncDispose]()
  }
}
