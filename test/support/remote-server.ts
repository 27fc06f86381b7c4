import { chmod, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { giveTree } from './give-tree.ts'
import { runHoldfast, type HoldfastResult } from './holdfast.ts'
import { startServer, type TestServer } from './postgres-server.ts'
import type { Scratch } from './scratch.ts'
import type { Major } from './server-binaries.ts'

/** A server as one has it from a provider: over TCP, by roles that are no superusers, and by passwords. */
export interface RemoteServer extends AsyncDisposable {
  /** For what its owner does with it. */
  readonly server: TestServer
  readonly configuration: string
  /** What "init" is told. */
  readonly setup: readonly string[]
  connectionOf(role: string): string
  run(...args: readonly string[]): Promise<HoldfastResult>
}

interface RemoteOptions {
  readonly major: Major
  readonly scratch: Scratch
  /** The folder of pg_dump and its kin. */
  readonly programs: string
}

/** Roles that have passwords in the password file: `dumper` may read, `loader` may make databases. */
const roles = { dumper: 'in "quotes": 1', loader: 'another\\one' }

/** Starts one with the roles, and nothing else in it. */
export async function startRemoteServer({ major, scratch, programs }: RemoteOptions): Promise<RemoteServer> {
  const server = await startServer({ major, scratch, settings: { listen_addresses: '127.0.0.1' } })
  const folder = await scratch.makeFolder(`remote-${server.port}`)
  const passfile = join(folder, 'pass')
  await askForPasswords(server)
  await makeRoles(server)
  await writeFile(passfile, passLines(server.port))
  await chmod(passfile, 0o600)
  await giveTree(folder, scratch.user)
  const configuration = join(folder, 'holdfast.yaml')
  const connectionOf = (role: string): string =>
    `host=127.0.0.1 port=${server.port} user=${role} dbname=postgres sslmode=disable`
  return {
    server,
    configuration,
    setup: [
      '--cluster=remote',
      `--connection=${connectionOf('dumper')}`,
      `--passfile=${passfile}`,
      `--repo=posix:${join(folder, 'repository')}`,
      `--run-as=${scratch.user.name}`,
    ],
    connectionOf: (role) => `${connectionOf(role)} passfile=${passfile}`,
    run: (...args) =>
      runHoldfast(args, { config: configuration, env: { PATH: `${programs}:/usr/bin:/bin` } }),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}

/** The first line that fits counts. */
async function askForPasswords(server: TestServer): Promise<void> {
  const file = join(server.dataDirectory, 'pg_hba.conf')
  const lines = Object.keys(roles).map((role) => `host all ${role} 127.0.0.1/32 scram-sha-256\n`)
  await writeFile(file, lines.join('') + (await readFile(file, 'utf8')))
  await server.reload()
}

async function makeRoles(server: TestServer): Promise<void> {
  await server.query(`create role dumper login password '${roles.dumper}'`)
  await server.query(`create role loader login createdb password '${roles.loader}'`)
  await server.query('grant pg_read_all_data to dumper')
}

/** As libpq reads it: what separates fields stands behind a backslash. */
function passLines(port: number): string {
  const lines = Object.entries(roles).map(
    ([role, password]) => `127.0.0.1:${port}:*:${role}:${password.replaceAll(/[\\:]/g, '\\$&')}\n`,
  )
  return lines.join('')
}
