import assert from 'node:assert/strict'
import { readdir, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { expectOk, runHoldfast, type HoldfastOptions } from '../../support/holdfast.ts'
import { startServer, type TestServer } from '../../support/postgres-server.ts'
import type { Scratch } from '../../support/scratch.ts'
import type { FaultCase, FaultStage, FaultTurn } from '../fault-case.ts'
import { age, isThere } from '../read-back.ts'

/** P1. Key, repository, cluster record and configuration in places where nothing is yet. */
export const init: FaultCase = { name: 'init', isTraced: true, sampleSize: 4, stage }

async function stage(scratch: Scratch): Promise<FaultStage> {
  const server = await startServer({ major: 17, scratch })
  const home = await scratch.makeFolder('home')
  let count = 0
  return {
    turn: async () =>
      new InitTurn(server, await scratch.makeFolder(`turn-${(count += 1)}`), {
        asUser: scratch.user,
        env: { HOME: home },
      }),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}

class InitTurn implements FaultTurn {
  readonly command: FaultTurn['command']
  readonly #server: TestServer
  readonly #folder: string

  constructor(server: TestServer, folder: string, options: HoldfastOptions) {
    this.#server = server
    this.#folder = folder
    this.command = {
      args: [
        'init',
        '--cluster=main',
        `--connection=${server.connectionString}`,
        `--repo=posix:${join(folder, 'backups', 'repository')}`,
        `--key-file=${join(folder, 'keys', 'key')}`,
        `--bin-directory=${server.binDirectory}`,
      ],
      options: { ...options, config: join(folder, 'etc', 'holdfast.yaml') },
      folder,
    }
  }

  async afterFault(): Promise<void> {
    await this.#server.query('select 1')
    const key = await readFile(join(this.#folder, 'keys', 'key'), 'utf8').catch(() => undefined)
    assert.match(key ?? '0'.repeat(64), /^[0-9a-f]{64}\n?$/, 'U3: a key that is not whole')
    // When the configuration is there, all that it names is there and works.
    if (await isThere(join(this.#folder, 'etc', 'holdfast.yaml'))) await this.#use()
    await age(await this.#temporaries())
  }

  async afterSuccess(): Promise<void> {
    await this.#use()
    const left = await this.#temporaries()
    // Killed between link and unlink it leaves a second name of a file that is there for good.
    const links = await Promise.all(left.map(async (path) => (await stat(path)).nlink))
    assert.deepEqual(
      left.filter((_, index) => links[index] === 1),
      [],
      'U6: left behind',
    )
  }

  async #use(): Promise<void> {
    const { options } = this.command
    expectOk(await runHoldfast(['info'], options))
  }

  async #temporaries(): Promise<readonly string[]> {
    const entries = await readdir(this.#folder, { recursive: true, withFileTypes: true })
    return entries
      .filter(({ name, parentPath }) => name.endsWith('.tmp') || parentPath.endsWith('/.tmp'))
      .filter((entry) => entry.isFile())
      .map(({ name, parentPath }) => join(parentPath, name))
  }

  [Symbol.asyncDispose](): Promise<void> {
    return rm(this.#folder, { recursive: true, force: true })
  }
}
