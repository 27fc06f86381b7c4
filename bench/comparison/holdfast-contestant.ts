import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  renderArchiveCommand,
  renderRestoreCommand,
  type CommandParts,
} from '../../src/archive/archive-command.ts'
import { commandQuote } from '../../src/archive/shell-quote.ts'
import type { ServerUser } from '../../test/support/server-user.ts'
import type { Contestant } from './contestant.ts'
import { emptyFolder } from './empty-folder.ts'
import { measureProcess, type Command } from './measured-process.ts'
import { connectionString, type ServerPlace } from './server-place.ts'

const programPath = join(import.meta.dirname, '..', '..', 'bin', 'holdfast')

/** Where a repository is, when it is not in the tool's folder. */
export interface Elsewhere {
  /** As it stands in the tables. */
  readonly name: string
  /** For `init`. */
  readonly options: readonly string[]
  /** Takes everything away that is there. */
  readonly clear: () => void
}

/** Holdfast as its users run it: sealed repository, two workers, zstd level 3 for backups. */
export async function holdfastContestant(
  folder: string,
  user: ServerUser,
  elsewhere?: Elsewhere,
): Promise<Contestant> {
  const configFile = join(folder, 'holdfast.yaml')
  // Compiled code is kept there. Service managers set HOME for a server; the bench's servers have none.
  const home = await emptyFolder(`${folder}-home`, user)
  const withHome = (command: string): string => `HOME=${commandQuote(home)}; export HOME; ${command}`
  const parts: CommandParts = { nodePath: process.execPath, programPath, configFile, cluster: 'main' }
  const command = (...args: readonly string[]): Command => ({
    file: process.execPath,
    args: [programPath, '--config', configFile, ...args],
    env: { HOME: home },
  })
  const run = async (...args: readonly string[]): Promise<string> =>
    (await measureProcess(command(...args), { user })).stdout
  const help = await run('--help')

  return {
    name: elsewhere?.name ?? 'Holdfast',
    version: /\d+\.\S+/.exec(await run('version'))?.[0] ?? 'unknown',
    folder,
    prepare: async (place) => {
      await emptyFolder(folder, user)
      elsewhere?.clear()
      await run('init', ...initOptions(place, elsewhere?.options ?? inFolder(folder)))
      await writeFile(configFile, 'restore:\n  workers: 2\nbackup:\n  workers: 2\n  audit-every: 1000\n', {
        flag: 'a',
      })
    },
    archiveCommand: () => withHome(renderArchiveCommand(parts)),
    restoreCommand: () => withHome(renderRestoreCommand({ ...parts, mode: 'recovery' })),
    backup: () => command('backup', '--type', 'full'),
    incremental: () => command('backup', '--type', 'incr'),
    restore: (targetDirectory) => command('restore', '--target-dir', targetDirectory, '--files-only'),
    verify: () => (/^ {2}verify /m.test(help) ? command('verify') : undefined),
  }
}

const inFolder = (folder: string): readonly string[] => [`--repo=posix:${join(folder, 'repository')}`]

function initOptions(place: ServerPlace, repo: readonly string[]): string[] {
  return [
    '--cluster=main',
    `--connection=${connectionString(place)}`,
    ...repo,
    `--bin-directory=${place.binDirectory}`,
  ]
}
