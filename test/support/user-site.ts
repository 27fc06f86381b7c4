import { join } from 'node:path'
import { archiveEverything } from './archive-everything.ts'
import { expectOk, runHoldfast, type HoldfastResult } from './holdfast.ts'
import { openServer, startServer, type TestServer } from './postgres-server.ts'
import type { Scratch } from './scratch.ts'

type ServerOptions = Parameters<typeof startServer>[0]

/** A server set up as a user would: `init --apply`, a restart, and from then on only the command line. */
export class UserSite implements AsyncDisposable {
  readonly server: TestServer
  readonly folder: string
  readonly #scratch: Scratch

  constructor(server: TestServer, scratch: Scratch, folder: string) {
    this.server = server
    this.folder = folder
    this.#scratch = scratch
  }

  get configuration(): string {
    return join(this.folder, 'holdfast.yaml')
  }

  /** Where the repository is. */
  get repository(): string {
    return join(this.folder, 'repository')
  }

  run(...args: readonly string[]): Promise<HoldfastResult> {
    return runHoldfast(args, { config: this.configuration, timeoutMs: 300_000 })
  }

  /** Runs a command that must succeed, and gives its JSON answer. */
  async answer(...args: readonly string[]): Promise<Record<string, unknown>> {
    const { stdout } = expectOk(await this.run('--output', 'json', ...args))
    return JSON.parse(stdout) as Record<string, unknown>
  }

  /** Takes a backup and gives its label. */
  async backup(...options: readonly string[]): Promise<string> {
    const { backup } = (await this.answer('backup', ...options)) as { backup: { label: string } }
    return backup.label
  }

  /** Ends the current segment, and waits until everything so far is in the archive. */
  switchWal(): Promise<void> {
    return archiveEverything(this.server)
  }

  /** Restores into a new directory and starts what came of it, as the user's service manager would. */
  async restore(name: string, ...options: readonly string[]): Promise<TestServer> {
    const dataDirectory = join(this.folder, name)
    expectOk(await this.run('restore', '--target-dir', dataDirectory, ...options))
    return this.open(dataDirectory)
  }

  open(dataDirectory: string, settings: ServerOptions['settings'] = {}): Promise<TestServer> {
    const { major } = this.server
    return openServer({ dataDirectory, major, scratch: this.#scratch, settings })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.server[Symbol.asyncDispose]()
  }
}

/** Starts a server and runs `init --apply` for it, with the restart that it asks for. */
export async function startUserSite(options: ServerOptions): Promise<UserSite> {
  const server = await startServer(options)
  const folder = await options.scratch.makeFolder(`site-${server.port}`)
  const site = new UserSite(server, options.scratch, folder)
  expectOk(
    await site.run(
      'init',
      '--apply',
      '--cluster=main',
      `--connection=${server.connectionString}`,
      `--repo=posix:${site.repository}`,
      `--bin-directory=${server.binDirectory}`,
    ),
  )
  await server.restart()
  return site
}
