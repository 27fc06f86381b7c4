import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { cp, readFile, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import type { SftpLocation, SftpStoreOptions } from '../../src/storage/sftp/sftp-options.ts'
import { unpackPackages, type UnpackedPrograms } from './distribution-programs.ts'
import { freePort } from './free-port.ts'
import { giveTree } from './give-tree.ts'
import type { Scratch } from './scratch.ts'
import { identityOf } from './server-user.ts'
import { waitUntil } from './wait.ts'

/** A real OpenSSH server on this machine. It lives in the scratch folder, and ends with it. */
export interface SftpServer {
  readonly user: string
  readonly port: number
  /** Of the user, without a passphrase. */
  readonly privateKeyFile: string
  /** The server's, as it is in known_hosts and as OpenSSH prints it. */
  readonly hostKey: { readonly line: string; readonly fingerprint: string }
  /** For a store on this server. */
  readonly options: SftpStoreOptions
  /** Runs a program of OpenSSH on this machine, and gives what it says. */
  run(program: string, args: readonly string[], variables?: Readonly<Record<string, string>>): string
  /** A directory of the server for a store; it is not there yet. */
  locationOf(name: string): SftpLocation
}

export interface SftpServerOptions {
  /** Requests of SFTP that the server does not know, such as `fsync` and `hardlink`. */
  readonly without?: readonly string[]
  /** Another key of the host than the first server of the scratch folder has. */
  readonly name?: string
}

/** Starts sshd on 127.0.0.1 for the user of the scratch folder, and as this user: some 100 ms. */
export async function startSftpServer(
  scratch: Scratch,
  { without = [], name = 'sshd' }: SftpServerOptions = {},
): Promise<SftpServer> {
  const folder = await scratch.makeFolder(name)
  const programs = await copyPrograms(join(folder, 'programs'))
  const file = (child: string): string => join(folder, child)
  for (const key of ['host', 'user']) {
    const args = ['-q', '-t', 'ed25519', '-N', '', '-C', key, '-f', file(key)]
    runProgram(programs, 'ssh-keygen', { args })
  }
  const port = await freePort()
  await writeFile(file('sshd_config'), configurationText(file, { port, without }))
  await giveTree(folder, scratch.user)
  const { name: user } = scratch.user
  spawn(join(programs.root, 'usr/sbin/sshd'), ['-D', '-f', file('sshd_config'), '-E', file('sshd.log')], {
    cwd: folder,
    env: programs.environment,
    stdio: 'ignore',
    detached: true,
    ...identityOf(scratch.user),
  }).unref()
  await waitUntil('the SFTP server listens', () => isListening(port))
  const line = (await readFile(file('host.pub'), 'utf8')).trim()
  const [, fingerprint = ''] = runProgram(programs, 'ssh-keygen', { args: ['-lf', file('host.pub')] }).split(
    ' ',
  )
  return {
    user,
    port,
    privateKeyFile: file('user'),
    hostKey: { line, fingerprint },
    options: {
      login: { kind: 'private-key', read: async () => ({ content: await readFile(file('user')) }) },
      trust: { fingerprint },
      maxRequests: 16,
      idleTimeoutMs: 10_000,
      callTimeoutMs: 60_000,
    },
    run: (program, args, variables) => runProgram(programs, program, { args, variables }),
    locationOf: (child) => ({ user, host: '127.0.0.1', port, path: file(`store/${child}`) }),
  }
}

/** A copy, because the user may not be allowed to look into the cache folder of the one that runs the tests. */
async function copyPrograms(folder: string): Promise<UnpackedPrograms> {
  const unpacked = await unpackPackages('openssh', ['openssh-server', 'openssh-client'])
  await cp(unpacked.root, folder, { recursive: true, verbatimSymlinks: true })
  const environment: Record<string, string> = {}
  for (const [name, value] of Object.entries(unpacked.environment)) {
    environment[name] = value.replaceAll(unpacked.root, folder)
  }
  return { ...unpacked, root: folder, environment }
}

function runProgram(
  { environment }: UnpackedPrograms,
  program: string,
  {
    args,
    variables,
  }: { readonly args: readonly string[]; readonly variables?: Record<string, string> | undefined },
): string {
  const env = { ...environment, ...variables }
  const { status, stdout, stderr } = spawnSync(program, args, { env, encoding: 'utf8' })
  assert.equal(status, 0, stderr)
  return stdout
}

/** A server of somebody without rights: no PAM, no passwords, no check of who owns the folders above. */
function configurationText(
  file: (child: string) => string,
  { port, without }: { readonly port: number; readonly without: readonly string[] },
): string {
  const settings = {
    ListenAddress: `127.0.0.1:${port}`,
    HostKey: file('host'),
    PidFile: 'none',
    AuthorizedKeysFile: file('user.pub'),
    StrictModes: 'no',
    UsePAM: 'no',
    PasswordAuthentication: 'no',
    MaxStartups: '100',
    Subsystem: `sftp internal-sftp${without.length === 0 ? '' : ` -P ${without.join(',')}`}`,
  }
  const lines = Object.entries(settings).map(([name, value]) => `${name} ${value}\n`)
  return lines.join('')
}

async function isListening(port: number): Promise<boolean> {
  const socket = connect({ host: '127.0.0.1', port })
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}
