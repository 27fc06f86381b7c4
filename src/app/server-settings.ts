import type { PostgresSession } from '../postgres/connection.ts'

/** One setting of the server as we need it. */
export interface SettingFinding {
  readonly name: string
  /** What is in force. */
  readonly current: string
  readonly wanted: string
  /**
   * `ok`; `restart-due`: it was changed and waits for a restart; `missing`: nothing works without it; `advised`: works
   * without, but loses more in a disaster; `foreign`: somebody else's, which is not ours to replace unasked.
   */
  readonly state: 'ok' | 'restart-due' | 'missing' | 'advised' | 'foreign'
  /** Whether a change waits for a restart; else a reload is enough. */
  readonly needsRestart: boolean
}

interface SettingRow {
  readonly name: string
  readonly setting: string
  readonly configured: string | null
  readonly pending: string
}

const names = [
  'wal_level',
  'archive_mode',
  'archive_command',
  'archive_library',
  'archive_timeout',
  'full_page_writes',
] as const

type SettingName = (typeof names)[number]

/** What `judgeSettings` needs to know, as pg_settings has it. */
export type ServerSettings = ReadonlyMap<SettingName, Omit<SettingRow, 'name'>>

/**
 * Reads the settings that archiving depends on. `configured` is what the configuration files say: while archive_mode is
 * off, the server shows "(disabled)" in place of the archive_command.
 */
export async function readServerSettings(session: PostgresSession): Promise<ServerSettings> {
  const rows = await session.query<SettingRow>(
    `select name, setting, reset_val as configured, pending_restart as pending
       from pg_catalog.pg_settings where name operator(pg_catalog.=) any ($1::pg_catalog.text[])`,
    [`{${names.join(',')}}`],
    { doing: 'reading the settings of the server', grant: 'pg_read_all_settings' },
  )
  const entries = rows.flatMap((row) => {
    const name = names.find((candidate) => candidate === row.name)
    return name === undefined ? [] : [[name, row] as const]
  })
  return new Map(entries)
}

/** Seconds after which a segment is archived although it is not full: how much a disaster may cost on a quiet server (R30). */
const advisedArchiveTimeout = '60'

/** Compares the server's settings with what a protected server has. Everything is listed, also what is right. */
export function judgeSettings(settings: ServerSettings, archiveCommand: string): readonly SettingFinding[] {
  const current = (name: SettingName): string => settings.get(name)?.setting ?? ''
  const find = (name: SettingName, wanted: string, { isOk, needsRestart }: Judged): SettingFinding => ({
    name,
    current: current(name),
    wanted,
    state: isOk ? 'ok' : isPending(settings, name) ? 'restart-due' : 'missing',
    needsRestart,
  })
  const walLevel = current('wal_level')
  return [
    find('wal_level', 'replica', {
      isOk: walLevel === 'replica' || walLevel === 'logical',
      needsRestart: true,
    }),
    find('archive_mode', 'on', { isOk: current('archive_mode') !== 'off', needsRestart: true }),
    judgeArchiveCommand(settings, archiveCommand),
    judgeArchiveTimeout(current('archive_timeout')),
    find('full_page_writes', 'on', { isOk: current('full_page_writes') === 'on', needsRestart: false }),
  ]
}

interface Judged {
  readonly isOk: boolean
  readonly needsRestart: boolean
}

/** What people put there to have archive_mode on before they decide. */
const placeholders: ReadonlySet<string> = new Set([
  '',
  '(disabled)',
  'true',
  '/bin/true',
  'false',
  '/bin/false',
  ':',
  'exit 0',
])

function judgeArchiveCommand(settings: ServerSettings, wanted: string): SettingFinding {
  const current = settings.get('archive_command')?.configured ?? ''
  const library = settings.get('archive_library')?.configured ?? ''
  const finding = { name: 'archive_command', current, wanted, needsRestart: false } as const
  if (library !== '') return { ...finding, current: `archive_library = ${library}`, state: 'foreign' }
  if (current === wanted) return { ...finding, state: 'ok' }
  return {
    ...finding,
    state: placeholders.has(current.trim()) || isOurCommand(current) ? 'missing' : 'foreign',
  }
}

/** One that we made, perhaps for another place of the program or the configuration. */
export function isOurCommand(command: string): boolean {
  return command.includes('holdfast-ack') && command.includes(' archive-push ')
}

function judgeArchiveTimeout(current: string): SettingFinding {
  const isSet = Number(current) > 0
  const state = isSet ? 'ok' : 'advised'
  const wanted = isSet ? current : advisedArchiveTimeout
  return { name: 'archive_timeout', current, wanted, state, needsRestart: false }
}

function isPending(settings: ServerSettings, name: SettingName): boolean {
  return settings.get(name)?.pending === 't'
}
