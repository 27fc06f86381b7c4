import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { shellQuote } from '../archive/shell-quote.ts'
import type { ServerFacts } from '../postgres/server-facts.ts'

/** The command that restarts this server, to be run by people. Debian's clusters have a wrapper of their own. */
export function restartCommand(
  { dataDirectory, version }: Pick<ServerFacts, 'dataDirectory' | 'version'>,
  binDirectory: string | undefined,
): string {
  const [, name] = new RegExp(`^/var/lib/postgresql/${version.major}/([\\w.-]+)$`).exec(dataDirectory) ?? []
  if (name !== undefined && existsSync('/usr/bin/pg_ctlcluster')) {
    return `pg_ctlcluster ${version.major} ${name} restart`
  }
  const usual = `/usr/lib/postgresql/${version.major}/bin`
  const folder = binDirectory ?? (existsSync(join(usual, 'pg_ctl')) ? usual : undefined)
  const program = folder === undefined ? 'pg_ctl' : shellQuote(join(folder, 'pg_ctl'))
  return `${program} restart -m fast -D ${shellQuote(dataDirectory)}`
}
