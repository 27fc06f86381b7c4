import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { RunContext } from '../domain/run-context.ts'
import { makeOwnedFolder, type OwnedFolder } from '../platform/owned-folder.ts'
import { stopOrphan } from '../restore/postmaster-file.ts'

/** The folder of one sandbox, which is removed with all that is in it. */
export interface SandboxFolder extends OwnedFolder {
  readonly dataDirectory: string
  /** Where the directories of tablespaces are made. */
  readonly tablespaceFolder: string
}

/** A link in it to the directory of the server's socket, whose path must be short. */
export const socketLink = 'socket'

/** Makes the folder of a new sandbox, after it has removed those whose processes are dead, and their servers. */
export async function makeSandboxFolder(parent: string, context: RunContext): Promise<SandboxFolder> {
  await using opened = new AsyncDisposableStack()
  const folder = opened.use(
    await makeOwnedFolder(
      {
        parent,
        kind: 'sandbox',
        hint: 'Name a directory that the user of the server may write to, with "--sandbox-directory" or the setting "sandbox-directory".',
        beforeRemoval: (path) => stopOrphan(dataDirectoryOf(path), 'at once', context),
      },
      context,
    ),
  )
  const tablespaceFolder = join(folder.path, 'tablespaces')
  await mkdir(tablespaceFolder, { mode: 0o700 })
  opened.move()
  return { ...folder, dataDirectory: dataDirectoryOf(folder.path), tablespaceFolder }
}

const dataDirectoryOf = (path: string): string => join(path, 'data')
