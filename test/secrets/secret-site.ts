import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFile, chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout } from 'node:timers/promises'
import { parseSystemIdentifier } from '../../src/domain/system-identifier.ts'
import { toWalSegmentSize } from '../../src/domain/wal-segment.ts'
import { ensureCluster } from '../../src/repository/cluster-record.ts'
import type { Unlocker } from '../../src/repository/key-slot.ts'
import { createRepository } from '../../src/repository/open-repository.ts'
import { createStore, parseRepositoryLocation } from '../../src/storage/open-store.ts'
import { recordingContext } from '../support/archive-fixture.ts'
import { giveTree } from '../support/give-tree.ts'
import { runHoldfast, type HoldfastResult } from '../support/holdfast.ts'
import { startServer, type TestServer } from '../support/postgres-server.ts'
import { createScratch, type Scratch } from '../support/scratch.ts'
import { identityOf } from '../support/server-user.ts'
import { waitUntil } from '../support/wait.ts'
import { makeCanary } from './canary.ts'

const role = 'holdfast'
const executable = join(import.meta.dirname, '../../bin/holdfast')

/** A server that asks for a password, and two repositories, one with a key file and one with a passphrase. */
export class SecretSite implements AsyncDisposable {
  readonly server: TestServer
  readonly scratch: Scratch
  readonly folder: string
  readonly secrets: Readonly<Record<'password' | 'key' | 'passphrase', string>>

  constructor(server: TestServer, scratch: Scratch, folder: string) {
    this.server = server
    this.scratch = scratch
    this.folder = folder
    this.secrets = { password: makeCanary(), key: makeCanary() + makeCanary(), passphrase: makeCanary() }
  }

  get connection(): string {
    return `host=${this.server.socketDirectory} port=${this.server.port} user=${role} dbname=postgres`
  }

  path(name: string): string {
    return join(this.folder, name)
  }

  /** Lines of a configuration; a test changes what it wants to be wrong. */
  configuration(): Readonly<Record<string, string>> {
    return {
      clusters: 'clusters:\n  main:',
      connection: `    connection: ${this.connection}`,
      passfile: `    passfile: ${this.path('passfile')}`,
      binaries: `    bin-directory: ${this.server.binDirectory}`,
      repos: `repos:\n  keyed:\n    location: posix:${this.path('keyed')}`,
      key: `    key-file: ${this.path('key')}`,
      second: `  worded:\n    location: posix:${this.path('worded')}`,
      passphrase: `    passphrase-file: ${this.path('passphrase')}`,
      backup: 'backup:\n  archive-timeout: 20s',
      archive: 'archive:\n  push-timeout: 20s',
    }
  }

  /** Writes files for the server's user, only readable for it. */
  async write(name: string, content: string, mode = 0o600): Promise<string> {
    await writeFile(this.path(name), content)
    await chmod(this.path(name), mode)
    await giveTree(this.folder, this.scratch.user)
    return this.path(name)
  }

  run(
    config: string,
    args: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ): Promise<HoldfastResult> {
    const home = this.path('home')
    return runHoldfast(args, { config, asUser: this.scratch.user, env: { HOME: home, ...env } })
  }

  /**
   * Runs a command that waits for the archive, and signals it again and again while it waits: from when it talks to the server
   * until the archiver, held up before, goes on.
   */
  async signalled(config: string, args: readonly string[], signal: NodeJS.Signals): Promise<HoldfastResult> {
    await this.write('held', '')
    const child = spawn(process.execPath, [executable, '--config', config, '--repo', 'keyed', ...args], {
      cwd: this.folder,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: '/usr/bin:/bin', HOME: this.path('home') },
      ...identityOf(this.scratch.user),
    })
    const ended = Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
    try {
      await waitUntil('the command to talk to the server', async () => {
        const query =
          "select count(*)::int as count from pg_stat_activity where application_name = 'holdfast'"
        const [row] = await this.server.query<{ count: number }>(query)
        return row !== undefined && row.count > 0
      })
      for (let count = 0; count < 20 && child.exitCode === null; count += 1) {
        child.kill(signal)
        await setTimeout(50)
      }
    } finally {
      await rm(this.path('held'))
    }
    const [stdout, stderr] = await ended
    return { args, code: child.exitCode, signal: child.signalCode, stdout, stderr }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server[Symbol.asyncDispose]()
    await this.scratch[Symbol.asyncDispose]()
  }
}

export async function startSecretSite(): Promise<SecretSite> {
  const scratch = await createScratch('secrets')
  const server = await startServer({
    major: 17,
    scratch,
    settings: { wal_level: 'replica', archive_mode: 'on', archive_command: 'true' },
  })
  const site = new SecretSite(server, scratch, await scratch.makeFolder('site'))
  await mkdir(site.path('home'), { mode: 0o700 })
  await requirePassword(site)
  await makeRepository(site, 'keyed', { kind: 'key-file', secret: Buffer.from(site.secrets.key) })
  await makeRepository(site, 'worded', { kind: 'passphrase', passphrase: site.secrets.passphrase })
  const program = [process.execPath, executable, '--config', site.path('holdfast.yaml'), 'archive-push', '%p']
  const held = `while test -e ${site.path('held')}; do sleep 0.05; done`
  await server.query(`alter system set archive_command = '${held}; ${program.join(' ')}'`)
  await server.query('select pg_reload_conf()')
  await site.write('key', `${site.secrets.key}\n`)
  await site.write('passphrase', `${site.secrets.passphrase}\n`)
  await site.write('passfile', `*:*:*:*:${site.secrets.password}\n`)
  return site
}

async function requirePassword({ server, secrets }: SecretSite): Promise<void> {
  await server.query(`create role ${role} superuser login password '${secrets.password}'`)
  const path = join(server.dataDirectory, 'pg_hba.conf')
  const rest = await readFile(path, 'utf8')
  await writeFile(path, `local all ${role} scram-sha-256\n`)
  await appendFile(path, rest)
  await server.query('select pg_reload_conf()')
}

async function makeRepository(
  { server, folder: parent }: SecretSite,
  name: string,
  unlocker: Unlocker,
): Promise<void> {
  const folder = join(parent, name)
  await mkdir(folder, { mode: 0o700 })
  const context = recordingContext()
  await using store = await createStore(
    parseRepositoryLocation(`posix:${folder}`),
    { access: 'write' },
    context,
  )
  const repository = await createRepository(store, { unlocker }, context)
  const [identity] = await server.query<{ id: string }>(
    'select system_identifier::text as id from pg_control_system()',
  )
  const cluster = {
    name: 'main',
    systemIdentifier: parseSystemIdentifier(identity?.id ?? ''),
    major: server.major,
    walSegmentSize: toWalSegmentSize(16 * 1024 * 1024),
  }
  await ensureCluster(repository, cluster, context)
}
