import { readFile, stat } from 'node:fs/promises'
import { OperationError } from '../domain/operation-error.ts'
import type { Conninfo } from './conninfo.ts'

/** For a server behind one of these directories libpq looks for "localhost" in the password file. */
const defaultSocketDirectories: ReadonlySet<string> = new Set([
  '/tmp',
  '/var/run/postgresql',
  '/run/postgresql',
])

const passfileLimitBytes = 1024 * 1024

/**
 * The password for a connection: its own, else the first matching line of its password file. Undefined when there is
 * none. A password file that others can read is refused, not ignored.
 */
export async function readPassword(conninfo: Conninfo): Promise<string | undefined> {
  if (conninfo.password !== undefined) return conninfo.password
  if (conninfo.passfile !== undefined) return findPassword(await readPrivateFile(conninfo.passfile), conninfo)
  if (conninfo.defaultPassfile === undefined) return undefined
  if (!(await exists(conninfo.defaultPassfile))) return undefined
  return findPassword(await readPrivateFile(conninfo.defaultPassfile), conninfo)
}

/** Lines are host:port:database:user:password; "*" matches all, ":" and "\" in a field stand behind a "\". */
export function findPassword(text: string, conninfo: Conninfo): string | undefined {
  const hosts = defaultSocketDirectories.has(conninfo.host) ? [conninfo.host, 'localhost'] : [conninfo.host]
  const wanted = [hosts, [String(conninfo.port)], [conninfo.dbname], [conninfo.user]]
  for (const line of text.split(/\r?\n/)) {
    if (line.startsWith('#') || line === '') continue
    const fields = splitFields(line)
    const password = fields[4]
    if (password === undefined) continue
    if (wanted.every((choices, index) => matches(fields[index] ?? '', choices)))
      return withoutBackslashes(password)
  }
  return undefined
}

/** Reads a small file that must be readable by its owner alone. */
export async function readPrivateFile(path: string): Promise<string> {
  try {
    const { mode, size } = await stat(path)
    if ((mode & 0o077) !== 0) {
      throw new OperationError(
        'config-invalid',
        `"${path}" holds a secret but has mode 0${(mode & 0o777).toString(8)}, expected 0600`,
        { hint: `Run: chmod 0600 '${path}'` },
      )
    }
    if (size > passfileLimitBytes) {
      throw new OperationError('config-invalid', `"${path}" is ${size} bytes long, expected less than 1 MiB`)
    }
    return await readFile(path, 'utf8')
  } catch (cause) {
    if (cause instanceof OperationError) throw cause
    throw new OperationError('file-unreadable', `cannot read "${path}"`, { cause })
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return false
    throw new OperationError('file-unreadable', `cannot look at "${path}"`, { cause })
  }
}

/** Raw fields, backslashes still in; the password is everything after the fourth ":". */
function splitFields(line: string): string[] {
  const [, ...fields] =
    /^((?:\\.|[^:\\])*):((?:\\.|[^:\\])*):((?:\\.|[^:\\])*):((?:\\.|[^:\\])*):(.*)$/.exec(line) ?? []
  return fields
}

/** A "*" matches all only where it was written without a backslash. */
function matches(field: string, choices: readonly string[]): boolean {
  return field === '*' || choices.includes(withoutBackslashes(field))
}

function withoutBackslashes(field: string): string {
  return field.replaceAll(/\\(.)/g, '$1')
}
