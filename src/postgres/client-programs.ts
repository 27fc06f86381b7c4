import { access, constants, readdir } from 'node:fs/promises'
import { delimiter, isAbsolute, join } from 'node:path'
import { OperationError } from '../domain/operation-error.ts'
import { formatPostgresVersion, type PostgresVersion } from '../domain/postgres-version.ts'
import type { RunContext } from '../domain/run-context.ts'
import { runProcess } from '../platform/child-process.ts'
import type { BinarySearch } from './binaries.ts'

/** PostgreSQL's own client programs for logical backups, all from one folder. */
export interface ClientPrograms {
  readonly binDirectory: string
  /** Of `pg_dump`. A major may be one that we do not know as a server's. */
  readonly major: number
  /** As the program prints it: "17.10". */
  readonly version: string
  readonly pgDump: string
  readonly pgDumpall: string
  readonly pgRestore: string
  readonly psql: string
}

const versionTimeoutMs = 10_000

/**
 * The oldest minor of each major that is safe: before it, what a server sends runs as commands where its dump is restored
 * (CVE-2025-8714, CVE-2025-8715), or overruns the client (CVE-2026-6477).
 */
const safeMinors: Readonly<Record<number, number>> = { 14: 23, 15: 18, 16: 14, 17: 10, 18: 4 }

/**
 * Finds client programs that can dump and restore a server of this version: of its major or, failing that, of the next newer
 * one that is there, for pg_dump refuses a server that is newer than itself. Warns of a minor with known holes. Throws
 * `binaries-missing` and says where it looked and what was there.
 */
export async function findClientPrograms(
  server: PostgresVersion,
  search: BinarySearch,
  context: RunContext,
): Promise<ClientPrograms> {
  const findings: string[] = []
  const fitting: ClientPrograms[] = []
  for (const binDirectory of await candidates(search)) {
    const found = await readPrograms(binDirectory, context.signal)
    if (found === undefined) continue
    findings.push(`"${binDirectory}" (${found.version})`)
    if (found.major >= server.major) fitting.push(found)
  }
  const [best] = fitting.toSorted((one, other) => one.major - other.major)
  if (best === undefined) throw missing(server, findings)
  warnOfHoles(best, context)
  return best
}

/** Where they may be: the configured folder first, then the usual ones of Debian and Red Hat, then PATH. */
async function candidates({ configured, searchPath }: BinarySearch): Promise<readonly string[]> {
  const debian = (await namesIn('/usr/lib/postgresql')).map((name) => `/usr/lib/postgresql/${name}/bin`)
  const redHat = (await namesIn('/usr'))
    .filter((name) => /^pgsql-\d+$/.test(name))
    .map((name) => `/usr/${name}/bin`)
  const onPath = searchPath.split(delimiter).filter((folder) => isAbsolute(folder))
  const all = [
    ...(configured === undefined ? [] : [configured]),
    ...debian,
    ...redHat,
    '/usr/local/pgsql/bin',
    ...onPath,
  ]
  return [...new Set(all)]
}

async function namesIn(folder: string): Promise<readonly string[]> {
  return readdir(folder).catch(() => [])
}

/** Undefined unless all of the programs are there and run. */
async function readPrograms(binDirectory: string, signal: AbortSignal): Promise<ClientPrograms | undefined> {
  const path = (name: string): string => join(binDirectory, name)
  const programs = {
    pgDump: path('pg_dump'),
    pgDumpall: path('pg_dumpall'),
    pgRestore: path('pg_restore'),
    psql: path('psql'),
  }
  try {
    await Promise.all(Object.values(programs).map((program) => access(program, constants.X_OK)))
  } catch {
    return undefined // not there or not to be run
  }
  const { exitCode, stdout } = await runProcess(programs.pgDump, ['--version'], {
    signal,
    timeoutMs: versionTimeoutMs,
    env: { LC_ALL: 'C' },
  })
  const { version, major } =
    /\(PostgreSQL\) (?<version>(?<major>\d+)\S*)/.exec(stdout.toString('utf8'))?.groups ?? {}
  if (exitCode !== 0 || version === undefined) return undefined
  return { binDirectory, version, major: Number(major), ...programs }
}

function missing(server: PostgresVersion, findings: readonly string[]): OperationError {
  return new OperationError(
    'binaries-missing',
    `looking for pg_dump and its kin of PostgreSQL ${server.major} or later, for a server of ${formatPostgresVersion(server)}: found ${findings.length === 0 ? 'none' : findings.join(', ')}`,
    {
      hint: `Install the client package of PostgreSQL ${server.major} (postgresql-client-${server.major}), or name the folder of its programs with "bin-directory" of the cluster.`,
    },
  )
}

function warnOfHoles({ pgDump, major, version }: ClientPrograms, { report }: RunContext): void {
  const safe = safeMinors[major]
  const minor = Number(/^\d+\.(\d+)/.exec(version)?.[1] ?? Number.NaN)
  if (safe === undefined || !(minor < safe)) return
  report({
    kind: 'warning',
    message: `"${pgDump}" is of version ${version}, which has known security holes that were closed in ${major}.${safe}`,
    hint: 'Update the client package of PostgreSQL.',
  })
}
