import { homedir, userInfo } from 'node:os'
import { join } from 'node:path'
import type { ClusterConfiguration } from '../config/select-configured.ts'
import type { Environment } from '../platform/environment.ts'
import {
  isSocketDirectory,
  parseConninfo,
  type Conninfo,
  type ConninfoDefaults,
} from '../postgres/conninfo.ts'

/** How to reach the server of a cluster, with what libpq would take from the environment and this user's home. */
export function clusterConnection(
  { connection, passfile }: Pick<ClusterConfiguration, 'connection' | 'passfile'>,
  variables: Environment,
): Conninfo {
  const conninfo = parseConninfo(connection, libpqDefaults(variables))
  if (passfile === undefined || conninfo.passfile !== undefined) return conninfo
  const { password: _fromTheEnvironment, defaultPassfile: _usual, ...rest } = conninfo
  return { ...rest, passfile }
}

/** The server's socket, when it is reached through one: its owner is the server's user. */
export function socketOf({ host, port }: Pick<Conninfo, 'host' | 'port'>): string | undefined {
  return isSocketDirectory(host) ? join(host, `.s.PGSQL.${port}`) : undefined
}

function libpqDefaults(variables: Environment): ConninfoDefaults {
  const given = {
    host: variables['PGHOST'],
    port: variables['PGPORT'],
    dbname: variables['PGDATABASE'],
    password: variables['PGPASSWORD'],
    sslmode: variables['PGSSLMODE'],
    sslrootcert: variables['PGSSLROOTCERT'],
  }
  const set = Object.entries(given).filter(([, value]) => value !== undefined && value !== '')
  return {
    user: nonEmpty(variables['PGUSER']) ?? userName(),
    passfile: nonEmpty(variables['PGPASSFILE']) ?? join(homedir(), '.pgpass'),
    ...Object.fromEntries(set),
  }
}

/** A user without a line in /etc/passwd, as in some containers, has no name. */
function userName(): string {
  try {
    return userInfo().username
  } catch {
    return String(process.geteuid?.() ?? '')
  }
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === '' ? undefined : text
}
