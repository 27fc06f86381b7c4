import { Socket } from 'node:net'
import type { Client, ConnectConfig, ParsedKey, Prompt, Sftp } from 'ssh2'
import { lostConnection, SftpFault } from './sftp-fault.ts'
import { hostKeyAlgorithms, judgeHostKey, type HostKeyVerdict } from './host-key.ts'
import type { SftpLocation, SftpLogin, SftpStoreOptions } from './sftp-options.ts'

/** A connection on which SFTP is spoken. Who gets it ends it. */
export interface SftpConnection {
  readonly client: Client
  readonly sftp: Sftp
  readonly socket: Socket
}

/** Name, connection, handshake and login together may take so long. */
const handshakeTimeoutMs = 20_000
/** So that what lies between does not forget a connection on which nothing moves, and a dead peer is noticed. */
const keepAliveMs = 15_000

/** Connects and logs in. Rejects with `SftpFault`, or the signal's reason. */
export async function connect(
  place: SftpLocation,
  { login, trust }: Pick<SftpStoreOptions, 'login' | 'trust'>,
  signal: AbortSignal,
): Promise<SftpConnection> {
  const [{ default: ssh2 }, credentials] = await Promise.all([import('ssh2'), readCredentials(login)])
  checkPrivateKey((content, passphrase) => ssh2.utils.parseKey(content, passphrase), credentials)
  signal.throwIfAborted()
  let shown: HostKeyVerdict | undefined
  const client = new ssh2.Client()
  const socket = new Socket()
  const config: ConnectConfig = {
    ...credentials,
    sock: socket,
    username: place.user,
    readyTimeout: handshakeTimeoutMs,
    ident: 'Holdfast',
    algorithms: { serverHostKey: hostKeyAlgorithms(trust, place) },
    hostVerifier: (key) => {
      shown = judgeHostKey(key, trust, place)
      return shown.kind === 'trusted'
    },
  }
  const abort = (): void => void socket.destroy()
  signal.addEventListener('abort', abort, { once: true })
  try {
    const connected = logIn(client, config, credentials.password)
    // Small requests must not wait for the answers to those before them: with Nagle's algorithm a write goes at 5 MB/s.
    client.setNoDelay(true)
    socket.setKeepAlive(true, keepAliveMs)
    socket.connect({ host: place.host, port: place.port })
    const sftp = await connected
    signal.throwIfAborted()
    return { client, sftp, socket }
  } catch (error) {
    socket.destroy()
    signal.throwIfAborted()
    throw (shown && untrusted(shown, place)) ?? connectFault(error, { place, login })
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

type Credentials = Pick<
  ConnectConfig,
  'authHandler' | 'privateKey' | 'passphrase' | 'password' | 'tryKeyboard' | 'agent'
>

async function readCredentials(login: SftpLogin): Promise<Credentials> {
  switch (login.kind) {
    case 'private-key': {
      const { content, passphrase } = await login.read()
      return {
        authHandler: ['publickey'],
        privateKey: content,
        ...(passphrase !== undefined && { passphrase }),
      }
    }
    case 'agent':
      return { authHandler: ['agent'], agent: login.socketPath }
    case 'password':
      return {
        authHandler: ['password', 'keyboard-interactive'],
        password: await login.read(),
        tryKeyboard: true,
      }
  }
}

function checkPrivateKey(
  parseKey: (content: Buffer, passphrase?: string) => ParsedKey | Error,
  { privateKey, passphrase }: Credentials,
): void {
  if (privateKey === undefined) return
  const parsed = parseKey(privateKey, passphrase)
  const isLocked = parsed instanceof Error && /passphrase|encrypted|integrity/i.test(parsed.message)
  if (!(parsed instanceof Error) && parsed.isPrivateKey()) return
  throw new SftpFault({
    code: 'config-invalid',
    found: isLocked
      ? `the private key is locked, and ${passphrase === undefined ? 'there is no passphrase for it' : 'the passphrase is not the one of it'}`
      : 'the private key cannot be read',
    hint: isLocked
      ? 'Set sftp.private-key-passphrase-file of the repo to a file with its passphrase.'
      : 'Set sftp.private-key-file of the repo to a private key as ssh-keygen makes it.',
  })
}

/** Resolves with a session of SFTP; rejects with the first thing that goes wrong. */
function logIn(client: Client, config: ConnectConfig, secret: string | undefined): Promise<Sftp> {
  const { promise, resolve, reject } = Promise.withResolvers<Sftp>()
  client.on('error', reject)
  client.once('close', () => reject(new Error('closed')))
  client.once('ready', () => {
    client.sftp((error, sftp) => (error ? reject(error) : resolve(sftp)))
  })
  // Some servers ask for the password this way only. One hidden question is for it; anything else is not known to us.
  client.on('keyboard-interactive', (...args: unknown[]) => {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the arguments of this event, as ssh2 documents them
    const [prompts, answer] = args.slice(3) as [readonly Prompt[], (answers: readonly string[]) => void]
    answer(prompts.length === 1 && prompts[0]?.echo === false && secret !== undefined ? [secret] : [])
  })
  client.connect(config)
  return promise
}

/** Undefined when the key is the right one: then something else failed. */
function untrusted({ kind, fingerprint, type }: HostKeyVerdict, place: SftpLocation): SftpFault | undefined {
  const shown = `${fingerprint} (${type})`
  const compare = 'Compare it with what "ssh-keygen -lf" says on the server about /etc/ssh/ssh_host_*_key.pub'
  switch (kind) {
    case 'trusted':
      return undefined
    case 'unpinned':
      return new SftpFault({
        code: 'config-invalid',
        found: `expected the key of the server to be known, found none configured; the server shows ${shown}`,
        hint: `${compare}; when it is the same, set sftp.host-key of the repo to "${fingerprint}".`,
      })
    case 'unknown':
      return new SftpFault({
        code: 'config-invalid',
        found: `expected "${place.host}" in the known hosts, found it not there; the server shows ${shown}`,
        hint: `${compare}; when it is the same, add it to the file that sftp.known-hosts-file names.`,
      })
    case 'changed':
      return new SftpFault({
        code: 'store-unreachable',
        found: `THE KEY OF THE SERVER HAS CHANGED: expected the one that is known, found ${shown}; somebody may be in between`,
        hint: `${compare}; only when it is the same, correct sftp.host-key or the known hosts.`,
      })
    case 'revoked':
      return new SftpFault({
        code: 'store-unreachable',
        found: `the key of the server is marked as revoked in the known hosts: ${shown}`,
        hint: 'Give the server a new key, and find out who has the old one.',
      })
  }
}

interface Attempt {
  readonly place: SftpLocation
  readonly login: SftpLogin
}

function connectFault(error: unknown, { place, login }: Attempt): unknown {
  if (!(error instanceof Error)) return error
  const level: unknown = Reflect.get(error, 'level')
  if (level === 'client-authentication' || level === 'agent') return refusedLogin(place, login)
  if (level === 'handshake') {
    return new SftpFault(
      {
        code: 'store-unreachable',
        found: 'the server and we have no algorithm in common',
        hint: 'Let the server offer current algorithms of key exchange, host key and cipher.',
      },
      error,
    )
  }
  if (/subsystem|exit code|unexpected SFTP/i.test(error.message)) {
    return new SftpFault(
      {
        found: 'the server does not start SFTP for this user',
        hint: 'Configure "Subsystem sftp internal-sftp" in its sshd_config; docs/sftp.md shows how.',
      },
      error,
    )
  }
  return networkFault(error, place)
}

function refusedLogin({ user }: SftpLocation, login: SftpLogin): SftpFault {
  const means = {
    'private-key': { what: 'the private key', hint: 'Correct sftp.private-key-file of the repo' },
    agent: {
      what: 'the keys of the agent',
      hint: 'Look at the agent of sftp.agent-socket with "ssh-add -l"',
    },
    password: { what: 'the password', hint: 'Correct sftp.password-file of the repo' },
  }[login.kind]
  return new SftpFault({
    found: `the server does not take ${means.what} for the user "${user}"`,
    hint: `${means.hint}, or let the server accept it for that user.`,
  })
}

function networkFault(error: Error, { host, port }: SftpLocation): SftpFault {
  const code: unknown = Reflect.get(error, 'code')
  const name = typeof code === 'string' && /^[A-Z_]{1,32}$/.test(code) ? ` (${code})` : ''
  switch (code) {
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return lostConnection(`the name "${host}" was not resolved${name}`, error)
    case 'ECONNREFUSED':
      return lostConnection(`nothing listens on port ${port} of "${host}"${name}`, error)
    default:
      return Reflect.get(error, 'level') === 'client-timeout'
        ? lostConnection('the server did not answer in time', error)
        : lostConnection(`the connection to the server was lost${name}`, error)
  }
}
