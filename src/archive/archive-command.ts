import { acknowledgementFolder } from './acknowledgements.ts'
import type { SpareArchives } from './archive-place.ts'
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
 * shell turns that into 1. It also looks whether there is anything in the program: Node runs an empty file, as a crash of
 * the machine leaves them, with success. When PostgreSQL itself is stopped, the shell gets the signal as well and dies of it.
 */
export function renderArchiveCommand(parts: CommandParts): string {
  const program = commandQuote(parts.programPath)
  const acknowledgement = `"pg_wal/${acknowledgementFolder}/%f"`
  return [
    `if [ ${acknowledgement} -nt "%p" ] && rm -f ${acknowledgement}; then exit 0; fi`,
    `[ -s ${program} ] || { echo 'error: starting holdfast: nothing in' ${program} >&2; exit 1; }`,
    `${programWords(parts)} archive-push --ahead "%p" || { r=$?; [ "$r" -gt 125 ] && r=1; exit "$r"; }`,
  ].join('; ')
}

export interface RestoreCommandParts extends CommandParts {
  /** What an uncertain answer becomes: a stop of the server in recovery, a retry on a standby (M2). */
  readonly mode: 'recovery' | 'standby'
  /** The repository to read from; undefined: all of the cluster's. */
  readonly repo?: string
  /** What else is read when that one has something damaged, or, where they are mixed, lacks it. */
  readonly spares?: Pick<SpareArchives, 'repos' | 'areMixed'> | undefined
  /** Reads it as it was at this moment, RFC 3339; undefined: now. */
  readonly repoAsOf?: string
}

/** Where archive-get keeps segments that recovery will ask for, below pg_wal. */
export const prefetchFolder = 'holdfast-prefetch'

/** In that folder, an empty file with this before its name says that a segment is being fetched at this moment. */
export const comingPrefix = '.coming-'

/** How often, each time for 10 ms, the shell looks whether such a segment has come. */
const mostLooks = 200

/**
 * What our archive-get answers when a file is proven absent and this shell asks it to. Node ends with 1 to 13 of its own
 * accord, before a line of ours has run: PostgreSQL would take that for the end of the WAL and promote (M1).
 */
const absentCode = 93

/**
 * The restore_command, before it is quoted for a configuration file. A segment that was fetched ahead is renamed into
 * place, which is atomic, for both names are in pg_wal. Everything else is Node's to answer, above all "absent".
 *
 * For one that is being fetched the shell waits, 2 s at most: a start of Node takes the time of four segments, and from the
 * cores that fetch them. Where a fifth of all segments were asked for too early, replaying took half as long again
 * (November 2026). A `sleep` that takes whole seconds only fails, and nothing is waited for.
 *
 * No `exec`: the shell believes two answers only, a 0 with the file to show for it and our own word for "absent". What
 * else comes, from us, from Node or because there is none, means "I do not know". When PostgreSQL is stopped, it signals
 * the shell and Node alike and sees the shell die of that; 143 is for whoever stops Node alone.
 */
export function renderRestoreCommand(request: RestoreCommandParts): string {
  const { mode, repo, repoAsOf, spares, ...parts } = request
  const others =
    spares === undefined || spares.repos.length === 0
      ? []
      : ['--spare', commandQuote(spares.repos.join(',')), ...(spares.areMixed ? ['--mixed'] : [])]
  const options = [`--mode ${mode} --absent-code ${absentCode}`, ...others].join(' ')
  const moment = repoAsOf === undefined ? '' : ` --repo-as-of ${commandQuote(repoAsOf)}`
  const selection = (repo === undefined ? '' : ` --repo ${commandQuote(repo)}`) + moment
  const fetched = `"pg_wal/${prefetchFolder}/%f"`
  const isComing = `[ -e "pg_wal/${prefetchFolder}/${comingPrefix}%f" ] && [ ! -e ${fetched} ]`
  return [
    `i=0; while ${isComing} && [ "$i" -lt ${mostLooks} ] && sleep 0.01; do i=$((i+1)); done 2>/dev/null`,
    `mv -f ${fetched} "%p" 2>/dev/null && exit 0`,
    `${programWords(parts)}${selection} archive-get ${options} "%f" "%p"`,
    `case $? in 0) [ -f "%p" ] && exit 0 ;; ${absentCode}) exit 1 ;; 143) exit 143 ;; esac`,
    `exit ${mode === 'standby' ? 1 : 126}`,
  ].join('; ')
}

function programWords({ nodePath, programPath, configFile, cluster }: CommandParts): string {
  const words = [nodePath, programPath, '--config', configFile, '--cluster', cluster]
  return words.map(commandQuote).join(' ')
}
