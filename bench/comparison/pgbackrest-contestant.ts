import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { commandQuote } from '../../src/archive/shell-quote.ts'
import { giveTree } from '../../test/support/give-tree.ts'
import type { ServerUser } from '../../test/support/server-user.ts'
import type { Contestant } from './contestant.ts'
import { emptyFolder } from './empty-folder.ts'
import { measureProcess, type Command } from './measured-process.ts'
import type { ServerPlace } from './server-place.ts'

export interface PgBackRestOptions {
  readonly program: string
  readonly folder: string
  readonly user: ServerUser
  /** Whether archive-push and archive-get work ahead with processes of their own. Everything else is the same. */
  readonly isAsynchronous: boolean
}

/** Since this version block incremental is not a beta feature any more. */
const firstWithBlocks = [2, 46] as const

/** An installed pgBackRest at its best settings. */
export async function pgBackRestContestant(options: PgBackRestOptions): Promise<Contestant> {
  const { program, folder, user, isAsynchronous } = options
  const configFile = join(folder, 'pgbackrest.conf')
  const command = (...args: readonly string[]): Command => ({
    file: program,
    args: [`--config=${configFile}`, '--stanza=main', ...args],
  })
  const { stdout } = await measureProcess({ file: program, args: ['version'] }, { user })
  const version = stdout.trim().replace(/^pgBackRest /, '')
  const words = [program, `--config=${configFile}`, '--stanza=main'].map(commandQuote).join(' ')

  return {
    name: isAsynchronous ? 'pgBackRest, archive-async' : 'pgBackRest',
    version,
    folder,
    prepare: async (place) => {
      await emptyFolder(folder, user)
      for (const name of ['repository', 'log', 'lock', 'spool']) await emptyFolder(join(folder, name), user)
      await writeFile(configFile, configuration(place, options, version), { mode: 0o600 })
      await giveTree(folder, user)
      await measureProcess(command('stanza-create'), { user })
    },
    archiveCommand: () => `${words} archive-push "%p"`,
    restoreCommand: (dataDirectory) =>
      `${words} --pg1-path=${commandQuote(dataDirectory)} archive-get %f "%p"`,
    backup: () => command('--type=full', 'backup'),
    incremental: () => command('--type=incr', 'backup'),
    restore: (targetDirectory) => command(`--pg1-path=${targetDirectory}`, 'restore'),
    verify: () => command('verify'),
  }
}

function configuration(place: ServerPlace, options: PgBackRestOptions, version: string): string {
  const { folder, isAsynchronous } = options
  return [
    '[global]',
    `repo1-path=${join(folder, 'repository')}`,
    'repo1-cipher-type=aes-256-cbc',
    'repo1-cipher-pass=0Xr7ZQ9mB3kTnV5cW8yD2fLhGs6JpA4e',
    'repo1-bundle=y',
    ...(knowsBlocks(version) ? ['repo1-block=y'] : []),
    'repo1-retention-full=9',
    'compress-type=zst',
    'compress-level=3',
    'process-max=2',
    'start-fast=y',
    'log-level-console=warn',
    'log-level-file=off',
    `log-path=${join(folder, 'log')}`,
    `lock-path=${join(folder, 'lock')}`,
    `spool-path=${join(folder, 'spool')}`,
    ...(isAsynchronous
      ? ['archive-async=y', 'archive-push-queue-max=1TB', 'archive-get-queue-max=256MB']
      : []),
    // Holdfast's level for WAL, and the faster one.
    '[global:archive-push]',
    'compress-level=1',
    '[main]',
    `pg1-path=${place.dataDirectory}`,
    `pg1-socket-path=${place.socketDirectory}`,
    `pg1-port=${place.port}`,
    'pg1-user=postgres',
    '',
  ].join('\n')
}

function knowsBlocks(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return major > firstWithBlocks[0] || (major === firstWithBlocks[0] && minor >= firstWithBlocks[1])
}
