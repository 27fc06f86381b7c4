import { symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { RunContext } from '../domain/run-context.ts'
import type { ServerBinaries } from '../postgres/binaries.ts'
import { readControlFile } from '../postgres/control-file.ts'
import { startPrivateServer, type PrivateServer } from '../postgres/server-process.ts'
import { makeSocketDirectory, removeSocketDirectory } from '../restore/socket-directory.ts'
import { socketLink, type SandboxFolder } from './sandbox-folder.ts'
import { sandboxSettings } from './sandbox-settings.ts'

/** Where the server of a sandbox is started, and how. */
export interface SandboxSite {
  readonly dataDirectory: string
  readonly socketDirectory: string
  readonly configFile: string
  readonly logFile: string
  readonly launcher: readonly string[] | undefined
}

/** Makes what the server of a sandbox needs besides its data. Its socket directory goes with what is `opened`. */
export async function makeSandboxSite(
  { path, dataDirectory }: SandboxFolder,
  opened: AsyncDisposableStack,
  context: RunContext,
): Promise<Omit<SandboxSite, 'launcher'>> {
  const socketDirectory = await makeSocketDirectory(context)
  opened.defer(() => removeSocketDirectory(socketDirectory, context))
  await symlink(socketDirectory, join(path, socketLink))
  const configFile = join(socketDirectory, 'postgresql.conf')
  await writeFile(configFile, '', { mode: 0o600 })
  return { dataDirectory, socketDirectory, configFile, logFile: join(path, 'server.log') }
}

export interface SandboxServerRequest extends SandboxSite {
  readonly serverBinaries: ServerBinaries
  readonly isReadOnly: boolean
  /** Whom `conninfo` of the server names, and which database. Default: postgres. */
  readonly user?: string
  readonly dbname?: string
  /** Over those of every sandbox. */
  readonly settings?: Readonly<Record<string, string>>
}

/** Starts a server on a directory that was shut down cleanly, cut off from everything. Whoever called owns it. */
export async function startSandboxServer(
  { serverBinaries, launcher, isReadOnly, settings, user, dbname, ...site }: SandboxServerRequest,
  context: RunContext,
): Promise<PrivateServer> {
  const { dataDirectory, socketDirectory, configFile, logFile } = site
  const { control } = await readControlFile(join(dataDirectory, 'global/pg_control'), context)
  const { binDirectory, major } = serverBinaries
  const request = {
    binDirectory,
    dataDirectory,
    socketDirectory,
    logFile,
    settings: { ...sandboxSettings(control, major, { configFile, isReadOnly }), ...settings },
    ...(launcher && { launcher }),
    ...(user !== undefined && { user }),
    ...(dbname !== undefined && { dbname }),
  }
  return startPrivateServer(request, context)
}
