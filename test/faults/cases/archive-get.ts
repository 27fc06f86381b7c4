import assert from 'node:assert/strict'
import { copyFile, mkdir, readdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { giveTree } from '../../support/give-tree.ts'
import type { Scratch } from '../../support/scratch.ts'
import type { FaultCase, FaultStage, FaultTurn, Outcome } from '../fault-case.ts'
import { age, assertSame, isThere, readBack, temporariesOf } from '../read-back.ts'
import { createArchiveStage, type ArchivePlaceForTurn } from './archive-stage.ts'

/** Out of the repository. */
export const archiveGet: FaultCase = {
  name: 'archive-get',
  isTraced: true,
  sampleSize: 4,
  stage: (scratch) => stage(scratch, false),
}

/** Out of what was fetched ahead. */
export const archiveGetFetched: FaultCase = {
  name: 'archive-get, fetched ahead',
  sampleSize: 3,
  stage: (scratch) => stage(scratch, true),
}

async function stage(scratch: Scratch, isFetched: boolean): Promise<FaultStage> {
  const archive = await createArchiveStage(scratch)
  const [, name = assert.fail('nothing is archived')] = archive.archived
  return {
    turn: async () => {
      const place = await archive.place()
      const original = join(place.folder, name)
      await rename(join(place.walFolder, name), original)
      if (isFetched) await fetchAhead(place, { original, name, scratch })
      return new GetTurn(place, { name, original, archived: archive.archived })
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
}

interface Fetched {
  readonly original: string
  readonly name: string
  readonly scratch: Scratch
}

async function fetchAhead({ walFolder }: ArchivePlaceForTurn, fetched: Fetched): Promise<void> {
  const { original, name, scratch } = fetched
  const folder = join(walFolder, 'holdfast-prefetch')
  await mkdir(folder, { mode: 0o700 })
  await copyFile(original, join(folder, name))
  await giveTree(folder, scratch.user)
}

interface Wanted {
  readonly name: string
  /** What the server once wrote. */
  readonly original: string
  readonly archived: readonly string[]
}

class GetTurn implements FaultTurn {
  readonly command: FaultTurn['command']
  readonly #place: ArchivePlaceForTurn
  readonly #wanted: Wanted
  readonly #destination: string

  constructor(place: ArchivePlaceForTurn, wanted: Wanted) {
    this.#place = place
    this.#wanted = wanted
    this.#destination = join(place.walFolder, 'RECOVERYXLOG')
    this.command = {
      args: ['archive-get', '--mode', 'recovery', wanted.name, this.#destination],
      options: place.options,
      folder: place.folder,
    }
  }

  // Less would be taken for the end of the WAL (M1).
  isFailureCode = (code: number): boolean => code >= 126

  async afterFault({ isKilled }: Outcome): Promise<void> {
    // Whatever has the name that PostgreSQL looks at is the segment (R39).
    if (await isThere(this.#destination)) await assertSame(this.#destination, this.#wanted.original)
    const left = await this.#leftovers()
    assert.ok(left.length <= (isKilled ? 2 : 1), `U6: left behind: ${left.join(', ')}`)
    await age(await temporariesOf(this.#place.site))
    await readBack(this.#place.site, { acknowledged: { walFiles: this.#wanted.archived } })
  }

  async afterSuccess(): Promise<void> {
    await assertSame(this.#destination, this.#wanted.original)
    assert.deepEqual(await this.#leftovers(), [], 'U6: left behind')
  }

  async #leftovers(): Promise<readonly string[]> {
    const names = await readdir(this.#place.walFolder)
    const unfinished = names.filter((name) => name.startsWith('.holdfast-'))
    return [...unfinished, ...(await temporariesOf(this.#place.site))]
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#place[Symbol.asyncDispose]()
  }
}
