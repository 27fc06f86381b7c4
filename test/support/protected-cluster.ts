import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { BackupDocument } from '../../src/api/backup-document.ts'
import { readCatalogue } from '../../src/repository/catalogue.ts'
import type { BackupEntry } from '../../src/repository/backup-entry.ts'
import { recordingContext } from './archive-fixture.ts'
import { createArchiveSite, type ArchiveSite } from './archive-site.ts'
import { giveTree } from './give-tree.ts'
import { expectOk, runHoldfast, type HoldfastResult } from './holdfast.ts'
import type { Settings } from './initialize-cluster.ts'
import { openServer, startServer, type TestServer } from './postgres-server.ts'
import type { Scratch } from './scratch.ts'
import type { Major } from './server-binaries.ts'
import { startHoldfast, type RunningHoldfast } from './start-holdfast.ts'
import { unpackBackup } from './unpack-backup.ts'
import { waitUntil } from './wait.ts'

interface Options {
  readonly major?: Major
  readonly settings?: Settings
  readonly isArchiving?: boolean
  readonly initdbOptions?: readonly string[]
  readonly checksums?: boolean
  readonly walSegmentSizeMb?: number
}

/** A server that archives into a repository of its own, in places with hostile names. */
export class ProtectedCluster implements AsyncDisposable {
  readonly server: TestServer
  readonly scratch: Scratch
  readonly archive: ArchiveSite

  constructor(server: TestServer, scratch: Scratch, archive: ArchiveSite) {
    this.server = server
    this.scratch = scratch
    this.archive = archive
  }

  /** As it must stand in postgresql.conf, where a backslash is an escape. */
  get archiveCommand(): string {
    return this.archive.archiveCommand.replaceAll('\\', String.raw`\\`)
  }

  run(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<HoldfastResult> {
    return runHoldfast(args, { config: this.archive.configFile, env })
  }

  start(args: readonly string[], env: Readonly<Record<string, string>> = {}): RunningHoldfast {
    return startHoldfast(args, { config: this.archive.configFile, env })
  }

  async takeBackup(...options: readonly string[]): Promise<BackupDocument> {
    const result = expectOk(await this.run(['--output', 'json', 'backup', ...options]))
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what it says is what the tests look at
    return JSON.parse(result.stdout) as BackupDocument
  }

  /** What the catalogue lists, read without the command line. */
  async listed(): Promise<readonly BackupEntry[]> {
    await using place = await this.archive.place()
    const { backups } = await readCatalogue(place.repository, place.cluster.id, recordingContext())
    return backups
  }

  /** Keys below the cluster's part of the repository. */
  async keys(part: 'data' | 'backup' | 'wal'): Promise<readonly string[]> {
    await using place = await this.archive.place()
    const keys: string[] = []
    for await (const { key } of place.repository.store.list(`${place.cluster.id}/${part}/`)) keys.push(key)
    return keys
  }

  /** Ends the segment, stops the server and starts what the backup and the archive give in its place. */
  async recover(label: string): Promise<TestServer> {
    await this.server.query('select pg_switch_wal()')
    await this.server.stop()
    const backups = await this.listed()
    const backup = backups.find((candidate) => candidate.label === label) ?? assert.fail(`no backup ${label}`)
    const folder = await this.scratch.makeFolder(`recovered-${this.server.port}-${label}`)
    const dataDirectory = join(folder, 'data')
    await mkdir(dataDirectory, { mode: 0o700 })
    await using place = await this.archive.place()
    await unpackBackup(place, backup, dataDirectory)
    await writeFile(join(dataDirectory, 'recovery.signal'), '')
    await giveTree(folder, this.scratch.user)
    const settings = { archive_mode: 'off', restore_command: this.archive.restoreCommand() }
    const { scratch, server } = this
    const recovered = await openServer({ dataDirectory, major: server.major, scratch, settings })
    await waitUntil('the end of recovery', async () => {
      const [row] = await recovered.query<{ over: boolean }>('select not pg_is_in_recovery() as over')
      return row?.over
    })
    return recovered
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server[Symbol.asyncDispose]()
  }
}

export async function startProtectedCluster(
  scratch: Scratch,
  options: Options = {},
): Promise<ProtectedCluster> {
  const { major = 17, settings = {}, isArchiving = true, ...shape } = options
  const archiving = { wal_level: 'replica', archive_mode: 'on', archive_command: 'false' }
  const server = await startServer({ major, scratch, settings: { ...archiving, ...settings }, ...shape })
  const archive = await createArchiveSite(scratch, server)
  await giveTree(archive.folder, scratch.user)
  const cluster = new ProtectedCluster(server, scratch, archive)
  if (isArchiving) await server.reload({ archive_command: cluster.archiveCommand })
  return cluster
}
