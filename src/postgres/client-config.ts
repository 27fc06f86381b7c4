import { readFile, stat } from 'node:fs/promises'
import { isIP } from 'node:net'
import type { ClientConfig } from 'pg'
import { OperationError } from '../domain/operation-error.ts'
import { isSocketDirectory, type Conninfo } from './conninfo.ts'
import { readPassword, readPrivateFile } from './passfile.ts'

/**
 * Fixed for our sessions, over what the role, the database or postgresql.conf set: text that we can parse and that loses
 * nothing when rows are copied, and no time limit that would end a backup session in its sleep. The server looks every
 * second whether we are still there.
 */
const sessionSettings: Readonly<Record<string, string>> = {
  client_encoding: 'UTF8',
  DateStyle: 'ISO',
  IntervalStyle: 'postgres',
  TimeZone: 'UTC',
  extra_float_digits: '3',
  xmloption: 'content',
  standard_conforming_strings: 'on',
  bytea_output: 'hex',
  statement_timeout: '0',
  lock_timeout: '0',
  idle_in_transaction_session_timeout: '0',
  idle_session_timeout: '0',
  client_connection_check_interval: '1000',
  search_path: 'pg_catalog',
}

/** What the driver needs. Everything is given, so that it takes nothing from the environment. */
export async function clientConfigOf(conninfo: Conninfo, useTls: boolean): Promise<ClientConfig> {
  const password = await readPassword(conninfo)
  return {
    host: conninfo.hostaddr ?? conninfo.host,
    port: conninfo.port,
    database: conninfo.dbname,
    user: conninfo.user,
    // A function, because an empty value would make the driver look for a password elsewhere.
    password: () => password ?? passwordMissing(),
    ssl: useTls ? await tlsOptionsOf(conninfo) : false,
    sslnegotiation: 'postgres',
    enableChannelBinding: conninfo.hasChannelBinding,
    connectionTimeoutMillis: conninfo.connectTimeoutMs,
    keepAlive: true,
    keepAliveInitialDelayMillis: 30_000,
    application_name: conninfo.applicationName,
    options: optionsOf(conninfo),
    client_encoding: 'UTF8',
    types: { getTypeParser: () => asText },
  }
}

/** The server answered that it has no TLS: sslmode=prefer then goes on without. */
export function isTlsRefusal(error: unknown): boolean {
  return error instanceof Error && /does not support SSL/.test(`${error.message} ${String(error.cause)}`)
}

function asText(value: string | Buffer): string {
  return value.toString()
}

function optionsOf(conninfo: Conninfo): string {
  const ours = Object.entries(sessionSettings).map(([name, value]) => `-c ${name}=${value}`)
  const theirs = conninfo.options ?? ''
  if (/(?<!\\)(?:\\\\)*\\$/.test(theirs)) {
    throw new OperationError('config-invalid', 'connection string: options ends in a single backslash')
  }
  return [theirs, ...ours].join(' ').trimStart()
}

function passwordMissing(): never {
  throw new OperationError(
    'server-lacks-privilege',
    'the server asks for a password, and none is configured',
    {
      hint: 'Put the password into a password file with mode 0600 and name it in passfile.',
    },
  )
}

type TlsOptions = Exclude<ClientConfig['ssl'], boolean | undefined>

async function tlsOptionsOf(conninfo: Conninfo): Promise<TlsOptions> {
  const { sslmode, sslrootcert, sslcert, sslkey } = conninfo
  // As in libpq: with a root certificate at hand, "require" verifies the chain too.
  const isVerified = sslmode.startsWith('verify-') || (sslmode === 'require' && sslrootcert !== undefined)
  return {
    rejectUnauthorized: isVerified,
    minVersion: 'TLSv1.2',
    ...(isVerified && sslrootcert !== undefined && sslrootcert !== 'system'
      ? { ca: await readCertificate(sslrootcert) }
      : {}),
    ...(sslcert === undefined ? {} : { cert: await readCertificate(sslcert) }),
    ...(sslkey === undefined ? {} : { key: await readKey(sslkey) }),
    ...(sslmode === 'verify-full' ? verifiedName(conninfo) : { checkServerIdentity: () => undefined }),
  }
}

/** With hostaddr we connect to an address, but the certificate is for the name. */
function verifiedName({ host, hostaddr }: Conninfo): TlsOptions {
  if (hostaddr === undefined || isSocketDirectory(host)) return {}
  // SNI takes names only (RFC 6066, section 3).
  return isIP(host) === 0 ? { host, servername: host } : { host }
}

async function readCertificate(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    throw new OperationError('file-unreadable', `cannot read certificate "${path}"`, { cause })
  }
}

/** libpq's rule: a key of root's may be readable by a group. */
async function readKey(path: string): Promise<string> {
  const found = await stat(path).catch((cause: unknown) => {
    throw new OperationError('file-unreadable', `cannot look at key "${path}"`, { cause })
  })
  const isGroupReadableOfRoot = found.uid === 0 && (found.mode & 0o037) === 0
  return isGroupReadableOfRoot ? readCertificate(path) : readPrivateFile(path)
}
