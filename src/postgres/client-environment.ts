import { OperationError } from '../domain/operation-error.ts'
import type { Conninfo } from './conninfo.ts'

/**
 * How a client program of PostgreSQL is told whom to connect to: its whole environment, as libpq reads it. Nothing secret is
 * in it but the names of files: a password must be in a password file, for every user of the machine may see arguments, and
 * some may see environments. Throws `config-invalid` for a connection that has a password of its own.
 */
export function clientEnvironment(conninfo: Conninfo): Readonly<Record<string, string>> {
  if (conninfo.password !== undefined) {
    throw new OperationError(
      'config-invalid',
      'running a client program of PostgreSQL: expected the password in a password file, found it in the connection or in PGPASSWORD',
      {
        hint: 'Write it into a file as .pgpass has it, mode 0600, and name that with "passfile" of the cluster.',
      },
    )
  }
  const { host, hostaddr, port, user, dbname, sslmode, sslrootcert, sslcert, sslkey, options } = conninfo
  const { connectTimeoutMs, hasChannelBinding } = conninfo
  const variables: Readonly<Record<string, string | undefined>> = {
    PATH: '/usr/bin:/bin',
    LC_ALL: 'C.UTF-8',
    TZ: 'UTC',
    // No service, password or certificate of anybody's home is taken up by chance.
    HOME: '/nonexistent',
    // One that cannot be there is passed over; of /dev/null the programs say that it is no plain file.
    PGPASSFILE: conninfo.passfile ?? conninfo.defaultPassfile ?? '/nonexistent/pgpass',
    PGHOST: host,
    PGHOSTADDR: hostaddr,
    PGPORT: String(port),
    PGUSER: user,
    PGDATABASE: dbname,
    PGSSLMODE: sslmode,
    PGSSLROOTCERT: sslrootcert,
    PGSSLCERT: sslcert,
    PGSSLKEY: sslkey,
    PGCHANNELBINDING: hasChannelBinding ? 'prefer' : 'disable',
    PGCONNECT_TIMEOUT: connectTimeoutMs > 0 ? String(Math.ceil(connectTimeoutMs / 1000)) : undefined,
    PGOPTIONS: options,
  }
  return Object.fromEntries(
    Object.entries(variables).filter((entry): entry is [string, string] => entry[1] !== undefined),
  )
}
