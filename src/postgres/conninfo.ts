import { OperationError } from '../domain/operation-error.ts'
import { splitConninfoUri } from './conninfo-uri.ts'
import { splitKeywordValues } from './conninfo-keywords.ts'

type SslMode = 'disable' | 'prefer' | 'require' | 'verify-ca' | 'verify-full'

/** Where a server is and how to log in: a libpq connection string, understood. */
export interface Conninfo {
  /** A host name, an address, or the directory of a Unix socket (then it begins with "/"). */
  readonly host: string
  /** The numeric address to connect to instead of looking up `host`. */
  readonly hostaddr?: string
  readonly port: number
  readonly dbname: string
  readonly user: string
  readonly password?: string
  readonly passfile?: string
  /** Consulted when neither password nor passfile is given; it need not exist. */
  readonly defaultPassfile?: string
  readonly sslmode: SslMode
  /** A file of root certificates, or "system". */
  readonly sslrootcert?: string
  readonly sslcert?: string
  readonly sslkey?: string
  readonly hasChannelBinding: boolean
  /** 0: no limit. */
  readonly connectTimeoutMs: number
  readonly applicationName: string
  /** Command-line options for the server process, such as "-c statement_timeout=0". */
  readonly options?: string
}

/** What libpq would take from the environment and the user's home. */
export interface ConninfoDefaults {
  /** The operating system user's name, if nothing else is known. */
  readonly user: string
  readonly host?: string
  readonly port?: string
  readonly dbname?: string
  readonly password?: string
  readonly passfile?: string
  readonly sslmode?: string
  readonly sslrootcert?: string
}

const sslModes: readonly string[] = ['disable', 'prefer', 'require', 'verify-ca', 'verify-full']

const keywords: ReadonlySet<string> = new Set(
  (
    'host hostaddr port dbname user password passfile connect_timeout application_name fallback_application_name ' +
    'options sslmode sslrootcert sslcert sslkey channel_binding'
  ).split(' '),
)

const defaultConnectTimeoutSeconds = 10
/** Where Debian's servers put their socket, and most others too; PostgreSQL's own default is /tmp. */
const defaultSocketDirectory = '/var/run/postgresql'

/**
 * Understands a libpq connection string, as `keyword=value` pairs or as a `postgresql://` address. What it does not know
 * it refuses: an option that is silently ignored may have been the one that made the connection safe.
 */
export function parseConninfo(text: string, defaults: ConninfoDefaults): Conninfo {
  const isUri = /^postgres(?:ql)?:\/\//.test(text)
  const given = collect(isUri ? splitConninfoUri(text) : splitKeywordValues(text))
  const user = given.get('user') ?? defaults.user
  return {
    ...serverOf(given, defaults),
    user,
    dbname: given.get('dbname') ?? defaults.dbname ?? user,
    ...passwordOf(given, defaults),
    ...tlsOf(given, defaults),
    connectTimeoutMs: timeoutOf(given.get('connect_timeout')),
    applicationName: given.get('application_name') ?? given.get('fallback_application_name') ?? 'holdfast',
    ...optional(given, 'options', 'options'),
  }
}

/** The connection in words for messages and logs; never the password. */
export function describeConninfo(conninfo: Conninfo): string {
  const { host, port, user, dbname } = conninfo
  const place = isSocketDirectory(host)
    ? `socket directory "${host}", port ${port}`
    : `"${host}" port ${port}`
  return `${place}, database "${dbname}", user "${user}"`
}

export function isSocketDirectory(host: string): boolean {
  return host.startsWith('/') || host.startsWith('@')
}

/** Empty values count as not given, as in libpq. */
function collect(pairs: readonly (readonly [string, string])[]): ReadonlyMap<string, string> {
  const given = new Map<string, string>()
  for (const [keyword, value] of pairs) {
    if (!keywords.has(keyword)) {
      throw new OperationError('config-invalid', `connection string: unknown keyword "${keyword}"`, {
        hint: `Holdfast understands ${[...keywords].join(', ')}.`,
      })
    }
    if (value.includes('\0')) throw invalid(`"${keyword}" contains a zero byte`)
    if (value === '') given.delete(keyword)
    else given.set(keyword, value)
  }
  return given
}

function serverOf(
  given: ReadonlyMap<string, string>,
  defaults: ConninfoDefaults,
): Pick<Conninfo, 'host' | 'hostaddr' | 'port'> {
  const hostaddr = given.get('hostaddr')
  const host = given.get('host') ?? hostaddr ?? defaults.host ?? defaultSocketDirectory
  if (`${host}${hostaddr ?? ''}`.includes(',')) {
    throw invalid(`more than one host: "${host}"`, 'Name one server; add the others as nodes of their own.')
  }
  if (host.startsWith('@')) throw invalid(`abstract socket "${host}" is not supported`)
  return {
    host,
    ...(hostaddr === undefined ? {} : { hostaddr }),
    port: portOf(given.get('port') ?? defaults.port),
  }
}

function portOf(text: string | undefined): number {
  const port = text ?? '5432'
  if (!/^\d{1,5}$/.test(port) || Number(port) < 1 || Number(port) > 65_535) {
    throw invalid(`port is "${port}", expected a number from 1 to 65535`)
  }
  return Number(port)
}

function passwordOf(
  given: ReadonlyMap<string, string>,
  defaults: ConninfoDefaults,
): Pick<Conninfo, 'password' | 'passfile' | 'defaultPassfile'> {
  const password = given.get('password') ?? defaults.password
  if (password !== undefined) return { password }
  const passfile = given.get('passfile')
  if (passfile !== undefined) return { passfile }
  return defaults.passfile === undefined ? {} : { defaultPassfile: defaults.passfile }
}

function tlsOf(
  given: ReadonlyMap<string, string>,
  defaults: ConninfoDefaults,
): Pick<Conninfo, 'sslmode' | 'sslrootcert' | 'sslcert' | 'sslkey' | 'hasChannelBinding'> {
  const sslmode = given.get('sslmode') ?? defaults.sslmode ?? 'prefer'
  if (!isSslMode(sslmode)) throw invalid(`sslmode is "${sslmode}", expected one of ${sslModes.join(', ')}`)
  const sslrootcert = given.get('sslrootcert') ?? defaults.sslrootcert
  if (sslmode.startsWith('verify-') && sslrootcert === undefined) {
    throw invalid(
      `sslmode is "${sslmode}", but no sslrootcert is given`,
      'Name the file with the root certificate in sslrootcert, or write sslrootcert=system.',
    )
  }
  if (given.has('sslcert') !== given.has('sslkey'))
    throw invalid('sslcert and sslkey belong together; one is missing')
  return {
    sslmode,
    ...(sslrootcert === undefined ? {} : { sslrootcert }),
    ...optional(given, 'sslcert', 'sslcert'),
    ...optional(given, 'sslkey', 'sslkey'),
    hasChannelBinding: hasChannelBinding(given.get('channel_binding') ?? 'prefer'),
  }
}

function isSslMode(text: string): text is SslMode {
  return sslModes.includes(text)
}

function hasChannelBinding(text: string): boolean {
  if (text === 'prefer' || text === 'disable') return text === 'prefer'
  throw invalid(`channel_binding is "${text}", expected prefer or disable`)
}

function timeoutOf(text: string | undefined): number {
  if (text === undefined) return defaultConnectTimeoutSeconds * 1000
  if (!/^-?\d{1,6}$/.test(text)) throw invalid(`connect_timeout is "${text}", expected a number of seconds`)
  return Math.max(Number(text), 0) * 1000
}

function optional<Name extends 'options' | 'sslcert' | 'sslkey'>(
  given: ReadonlyMap<string, string>,
  keyword: Name,
  name: Name,
): Partial<Record<Name, string>> {
  const value = given.get(keyword)
  const found: Partial<Record<Name, string>> = {}
  if (value !== undefined) found[name] = value
  return found
}

function invalid(message: string, hint?: string): OperationError {
  return new OperationError(
    'config-invalid',
    `connection string: ${message}`,
    hint === undefined ? {} : { hint },
  )
}
