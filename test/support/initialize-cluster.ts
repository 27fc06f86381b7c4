import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { Major } from './server-binaries.ts'
import { identityOf } from './server-user.ts'
import type { ServerUser } from './server-user.ts'

export type Settings = Readonly<Record<string, string | number | boolean>>

export interface ClusterShape {
  /** Data page checksums. Default: true. */
  readonly checksums?: boolean
  /** Default: 16. */
  readonly walSegmentSizeMb?: number
  /** Further options for initdb. */
  readonly initdbOptions?: readonly string[]
}

interface Place {
  readonly dataDirectory: string
  readonly binDirectory: string
  readonly major: Major
  readonly user: ServerUser
}

/**
 * What servers get unless a test says otherwise. Nothing may be left outside the data directory when a server is killed,
 * hence no POSIX shared memory; no test survives a power loss, hence no fsync.
 */
const defaultSettings: Settings = {
  dynamic_shared_memory_type: 'mmap',
  fsync: false,
  shared_buffers: '32MB',
  max_connections: 50,
  log_line_prefix: '%m [%p] ',
  log_timezone: 'UTC',
  timezone: 'UTC',
}

/** Runs initdb: superuser `postgres` whoever runs the server, no passwords, C locale, UTF-8. */
export async function initializeCluster(
  place: Place,
  shape: ClusterShape,
  settings: Settings,
): Promise<void> {
  const { dataDirectory, binDirectory, user } = place
  const child = spawn(
    join(binDirectory, 'initdb'),
    ['--pgdata', dataDirectory, ...initdbOptions(place.major, shape)],
    {
      cwd: dirname(dataDirectory),
      env: { PATH: process.env['PATH'], LC_ALL: 'C', TZ: 'UTC' },
      stdio: ['ignore', 'pipe', 'pipe'],
      ...identityOf(user),
    },
  )
  const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
  if (child.exitCode !== 0) throw new Error(`initdb of PostgreSQL ${place.major} failed:\n${output}${errors}`)
  await writeSettings(dataDirectory, { ...defaultSettings, ...settings })
}

/** Appends to postgresql.conf, where the last line for a name counts. */
export async function writeSettings(dataDirectory: string, settings: Settings): Promise<void> {
  const lines = Object.entries(settings).map(([name, value]) => `${name} = '${settingText(value)}'\n`)
  await appendFile(join(dataDirectory, 'postgresql.conf'), lines.join(''))
}

function settingText(value: string | number | boolean): string {
  return typeof value === 'boolean' ? (value ? 'on' : 'off') : String(value).replaceAll("'", "''")
}

/** `-c name=value` for each. */
export function commandLineSettings(settings: Settings): string[] {
  return Object.entries(settings).flatMap(([name, value]) => [
    '-c',
    `${name}=${typeof value === 'boolean' ? (value ? 'on' : 'off') : value}`,
  ])
}

function initdbOptions(major: Major, shape: ClusterShape): string[] {
  const { checksums = true, walSegmentSizeMb = 16, initdbOptions: further = [] } = shape
  return [
    '--no-sync',
    '--username=postgres',
    '--auth=trust',
    '--locale=C',
    '--encoding=UTF8',
    `--wal-segsize=${walSegmentSizeMb}`,
    ...(checksums ? ['--data-checksums'] : major >= 18 ? ['--no-data-checksums'] : []),
    ...further,
  ]
}
