import { chmod, chown, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ArchivePlace } from '../../src/archive/archive-place.ts'
import {
  renderArchiveCommand,
  renderRestoreCommand,
  type CommandParts,
  type RestoreCommandParts,
} from '../../src/archive/archive-command.ts'
import { parseSystemIdentifier } from '../../src/domain/system-identifier.ts'
import { toWalSegmentSize } from '../../src/domain/wal-segment.ts'
import { ensureCluster, requireCluster } from '../../src/repository/cluster-record.ts'
import { createRepository, openRepository } from '../../src/repository/open-repository.ts'
import { createStore, openStore, parseRepositoryLocation } from '../../src/storage/open-store.ts'
import { recordingContext } from './archive-fixture.ts'
import type { TestServer } from './postgres-server.ts'
import type { Scratch } from './scratch.ts'
import { isRoot } from './server-user.ts'

/** A place with everything in its name that a shell or PostgreSQL could take for something else (R35). */
const hostileName = 'it\'s "a" $HOME `x` 100%p\\ place'

/** A repository and a configuration for one server, owned by the server's user, and the commands that lead there. */
export class ArchiveSite {
  readonly folder: string
  readonly configFile: string
  readonly repositoryFolder: string
  readonly parts: CommandParts
  readonly #startsFile: string

  constructor(folder: string) {
    this.folder = folder
    this.configFile = join(folder, 'holdfast.yaml')
    this.repositoryFolder = join(folder, 'repository')
    this.#startsFile = join(folder, 'starts')
    this.parts = {
      nodePath: join(folder, 'node'),
      programPath: join(import.meta.dirname, '..', '..', 'bin', 'holdfast'),
      configFile: this.configFile,
      cluster: 'main',
    }
  }

  get archiveCommand(): string {
    return renderArchiveCommand(this.parts)
  }

  restoreCommand(changes: Partial<RestoreCommandParts> = {}): string {
    return renderRestoreCommand({ ...this.parts, mode: 'recovery', ...changes })
  }

  /** What Node was started for so far: the arguments, one line each. */
  async starts(): Promise<readonly string[]> {
    const lines = await readFile(this.#startsFile, 'utf8').catch(() => '')
    return lines.split('\n').filter((line) => line !== '')
  }

  async forgetStarts(): Promise<void> {
    await writeFile(this.#startsFile, '')
  }

  /** The archive as a reader sees it. */
  async place(): Promise<ArchivePlace & AsyncDisposable> {
    const context = recordingContext()
    const location = parseRepositoryLocation(`posix:${this.repositoryFolder}`)
    const store = await openStore(location, { access: 'write' }, context)
    const unlocker = { kind: 'key-file', secret: await readFile(join(this.folder, 'key')) } as const
    const repository = await openRepository(store, { unlocker }, context)
    const cluster = await requireCluster(repository, 'main', context)
    return { repository, cluster, [Symbol.asyncDispose]: () => store[Symbol.asyncDispose]() }
  }
}

/** Makes a site for the server, with a repository that knows its cluster. */
export async function createArchiveSite(scratch: Scratch, server: TestServer): Promise<ArchiveSite> {
  const site = new ArchiveSite(await scratch.makeFolder(`${hostileName} ${server.port}`))
  const { folder, repositoryFolder } = site
  const [identity] = await server.query<{ id: string; size: string }>(
    `select system_identifier::text as id, current_setting('wal_segment_size') as size from pg_control_system()`,
  )
  if (identity === undefined) throw new Error('the server has no identity')
  const context = recordingContext()
  const secret = Buffer.alloc(32, 9)
  await mkdir(repositoryFolder, { mode: 0o700 })
  await writeFile(join(folder, 'key'), secret, { mode: 0o600 })
  await using store = await createStore(
    parseRepositoryLocation(`posix:${repositoryFolder}`),
    { access: 'write' },
    context,
  )
  const repository = await createRepository(store, { unlocker: { kind: 'key-file', secret } }, context)
  const mebibytes = identity.size.endsWith('GB')
    ? 1024 * Number.parseInt(identity.size, 10)
    : Number.parseInt(identity.size, 10)
  await ensureCluster(
    repository,
    {
      name: 'main',
      systemIdentifier: parseSystemIdentifier(identity.id),
      major: server.major,
      walSegmentSize: toWalSegmentSize(mebibytes * 1024 * 1024),
    },
    context,
  )
  await writeFile(site.configFile, configurationText(site, server.connectionString), { mode: 0o600 })
  const quotedNode = `'${process.execPath.replaceAll("'", String.raw`'\''`)}'`
  // Counts how often Node is started, then is Node.
  const wrapper = `#!/bin/sh\nprintf '%s\\n' "$*" >>"\${0%/node}/starts"\nexec ${quotedNode} "$@"\n`
  await writeFile(site.parts.nodePath, wrapper, { mode: 0o700 })
  await chmod(site.parts.nodePath, 0o700)
  await giveAll(folder, scratch)
  return site
}

function configurationText({ repositoryFolder, folder }: ArchiveSite, connection: string): string {
  return [
    'clusters:',
    '  main:',
    `    connection: ${JSON.stringify(connection)}`,
    'repos:',
    '  local:',
    `    location: ${JSON.stringify(`posix:${repositoryFolder}`)}`,
    `    key-file: ${JSON.stringify(join(folder, 'key'))}`,
    '',
  ].join('\n')
}

/** The server's user must read and write it all; tests may run as root. */
export async function giveAll(folder: string, { user }: Scratch): Promise<void> {
  if (!isRoot()) return
  await chown(folder, user.uid, user.gid)
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    await chown(join(entry.parentPath, entry.name), user.uid, user.gid)
  }
}
