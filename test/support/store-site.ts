import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { giveTree } from './give-tree.ts'
import { expectOk, runHoldfast, type HoldfastResult } from './holdfast.ts'
import type { TestServer } from './postgres-server.ts'
import type { Scratch } from './scratch.ts'
import { startHoldfast, type RunningHoldfast } from './start-holdfast.ts'

/** So that expire has something to do, once it is asked. */
const keepRules = {
  HOLDFAST_KEEP_COUNT: '1',
  HOLDFAST_KEEP_MINIMUM: '1',
  HOLDFAST_KEEP_AFTER_BACKUP: 'false',
}

export interface StorePlace {
  /** What the store wants to know of whoever asks. */
  readonly secret: string | Uint8Array
  /** The options of `init` that say where the store is, and that the secret is in this file. */
  readonly options: (secretFile: string) => readonly string[]
}

/** What a user of a store far away has: a configuration file, a file with a secret, and the command line. */
export class StoreSite {
  readonly folder: string
  readonly #server: TestServer
  readonly #options: readonly string[]

  constructor(folder: string, server: TestServer, options: readonly string[]) {
    this.folder = folder
    this.#server = server
    this.#options = options
  }

  init(...options: readonly string[]): Promise<HoldfastResult> {
    return this.run(
      'init',
      '--cluster=main',
      `--connection=${this.#server.connectionString}`,
      `--bin-directory=${this.#server.binDirectory}`,
      ...this.#options,
      ...options,
    )
  }

  run(...args: readonly string[]): Promise<HoldfastResult> {
    const config = join(this.folder, 'holdfast.yaml')
    return runHoldfast(args, { config, timeoutMs: 300_000, env: keepRules })
  }

  start(...args: readonly string[]): RunningHoldfast {
    return startHoldfast(args, { config: join(this.folder, 'holdfast.yaml'), env: keepRules })
  }

  async answer(...args: readonly string[]): Promise<unknown> {
    return JSON.parse(expectOk(await this.run('--output', 'json', ...args)).stdout)
  }

  /** Whether `info` tells of the backup that this answer of `backup` is about. */
  async lists(answer: unknown): Promise<boolean> {
    const { label } = (answer as { backup: { label: string } }).backup
    const { repos } = (await this.answer('info')) as { repos: { backups: { label: string }[] }[] }
    return repos.some(({ backups }) => backups.some((backup) => backup.label === label))
  }
}

let sites = 0

/** In a folder of its own, with the secret in a file that only the user of the server may read. */
export async function makeStoreSite(
  scratch: Scratch,
  server: TestServer,
  { secret, options }: StorePlace,
): Promise<StoreSite> {
  sites += 1
  const folder = await scratch.makeFolder(`site-${sites}`)
  const secretFile = join(folder, 'secret')
  await writeFile(secretFile, secret, { mode: 0o600 })
  await giveTree(folder, scratch.user)
  return new StoreSite(folder, server, options(secretFile))
}
