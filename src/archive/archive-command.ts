import { acknowledgementFolder } from './acknowledgements.ts'
import { commandQuote } from './shell-quote.ts'

/** How PostgreSQL is to start us: it knows no PATH to rely on, and shows this text to everybody (R35, M19). */
export interface CommandParts {
  readonly nodePath: string
  /** bin/holdfast. */
  readonly programPath: string
  readonly configFile: string
  readonly cluster: string
}

/**
 * The archive_command, before it is quoted for a configuration file. Node is started only for a file that was not pushed
 * ahead: the shell takes an acknowledgement that is newer than the file, once, and says done (`acknowledgements.ts`).
 *
 * No `exec`: above 125, or when the program is killed, PostgreSQL ends its archiver without counting a failure (M12). The
 * shell turns that into 1. When PostgreSQL itself is stopped, the shell gets the signal as well and dies of it.
 */
export function renderArchiveCommand(parts: CommandParts): string {
  const acknowledgement = `"pg_wal/${acknowledgementFolder}/%f"`
  return [
    `if [ ${acknowledgement} -nt "%p" ] && rm -f ${acknowledgement}; then exit 0; fi`,
    `${programWords(parts)} archive-push --ahead "%p" || { r=$?; [ "$r" -gt 125 ] && r=1; exit "$r"; }`,
  ].join('; ')
}

export interface RestoreCommandParts extends CommandParts {
  /** What an uncertain answer becomes: a stop of the server in recovery, a retry on a standby (M2). */
  readonly mode: 'recovery' | 'standby'
}

/** Where archive-get keeps segments that recovery will ask for, below pg_wal. */
export const prefetchFolder = 'holdfast-prefetch'

/**
 * The restore_command, before it is quoted for a configuration file. A segment that was fetched ahead is renamed into
 * place, which is atomic, for both names are in pg_wal. Everything else is Node's to answer, above all "absent". `exec`,
 * so that PostgreSQL sees what became of Node: a program that is missing (127) or was killed means "I do not know".
 */
export function renderRestoreCommand(parts: RestoreCommandParts): string {
  const program = `exec ${programWords(parts)} archive-get --mode ${parts.mode} "%f" "%p"`
  return `mv -f "pg_wal/${prefetchFolder}/%f" "%p" 2>/dev/null && exit 0; ${program}`
}

function programWords({ nodePath, programPath, configFile, cluster }: CommandParts): string {
  const words = [nodePath, programPath, '--config', configFile, '--cluster', cluster]
  return words.map(commandQuote).join(' ')
}
