import { access, constants } from 'node:fs/promises'
import { delimiter, isAbsolute, join } from 'node:path'
import { isOperationError, OperationError } from '../domain/operation-error.ts'
import { postgresMajors, type PostgresMajor } from '../domain/postgres-version.ts'
import { runProcess } from '../platform/child-process.ts'

/** PostgreSQL's own server programs of one major version. */
export interface ServerBinaries {
  readonly binDirectory: string
  readonly major: PostgresMajor
  /** As the program prints it: "15.18". */
  readonly version: string
  readonly postgres: string
  readonly initdb: string
  readonly pgCtl: string
}

export interface BinarySearch {
  /** Looked at first. */
  readonly configured?: string
  /** The PATH to search last; its folders may hold any version. */
  readonly searchPath: string
}

const versionTimeoutMs = 10_000

/**
 * Finds the server programs of exactly this major: another major cannot read the cluster, so its programs count as not
 * found (I4). The error says where it looked and what was there.
 */
export async function findServerBinaries(
  major: PostgresMajor,
  search: BinarySearch,
  signal: AbortSignal,
): Promise<ServerBinaries> {
  const findings: string[] = []
  for (const binDirectory of candidatesFor(major, search)) {
    const found = await readBinaryVersion(binDirectory, signal)
    if (found?.major === String(major)) {
      const path = (name: string): string => join(binDirectory, name)
      const programs = { postgres: path('postgres'), initdb: path('initdb'), pgCtl: path('pg_ctl') }
      return { binDirectory, major, version: found.version, ...programs }
    }
    findings.push(
      `"${binDirectory}" (${found === undefined ? 'no server there' : `PostgreSQL ${found.version}`})`,
    )
  }
  throw new OperationError(
    'binaries-missing',
    `no programs of PostgreSQL ${major} found; looked at ${findings.join(', ')}`,
    {
      hint: `Install the server package of PostgreSQL ${major}, or configure the folder that holds its "postgres" program.`,
    },
  )
}

/**
 * Finds server programs that can make a cluster to load a dump of this major into: of it or, failing that, of the next newer
 * one that is there. Throws `binaries-missing` and says what is missing where.
 */
export async function findClusterMaker(
  oldest: number,
  search: BinarySearch,
  signal: AbortSignal,
): Promise<ServerBinaries> {
  const findings: string[] = []
  for (const major of postgresMajors.filter((known) => known >= oldest)) {
    try {
      const found = await findServerBinaries(major, search, signal)
      if (await isExecutable(found.initdb)) return found
      findings.push(`"${found.binDirectory}" has PostgreSQL ${found.version} without its program "initdb"`)
    } catch (error) {
      if (!isOperationError(error, 'binaries-missing')) throw error
      findings.push(error.message)
    }
  }
  throw new OperationError(
    'binaries-missing',
    `making a server to load a dump of PostgreSQL ${oldest} into: expected the programs "postgres" and "initdb" of it or of a later one, found none: ${findings.join('; ')}`,
    {
      hint: `Install the server package of PostgreSQL ${oldest} (postgresql-${oldest}), or name the folder of its programs with "bin-directory" of the cluster.`,
    },
  )
}

async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** The usual folders: Debian, Red Hat, built from source, then PATH. */
function candidatesFor(major: PostgresMajor, { configured, searchPath }: BinarySearch): readonly string[] {
  const onPath = searchPath.split(delimiter).filter((folder) => isAbsolute(folder))
  const usual = [`/usr/lib/postgresql/${major}/bin`, `/usr/pgsql-${major}/bin`, '/usr/local/pgsql/bin']
  return [...new Set([...(configured === undefined ? [] : [configured]), ...usual, ...onPath])]
}

/** Undefined when there is no server program that runs. */
async function readBinaryVersion(
  binDirectory: string,
  signal: AbortSignal,
): Promise<{ major: string; version: string } | undefined> {
  const postgres = join(binDirectory, 'postgres')
  if (!(await isExecutable(postgres))) return undefined // the caller lists it as such
  const { exitCode, stdout } = await runProcess(postgres, ['--version'], {
    signal,
    timeoutMs: versionTimeoutMs,
  })
  const parts = /\(PostgreSQL\) (?<version>(?<major>\d+)[^\s]*)/.exec(stdout.toString('utf8'))?.groups
  if (exitCode !== 0 || parts === undefined) return undefined
  return { major: parts['major'] ?? '', version: parts['version'] ?? '' }
}
