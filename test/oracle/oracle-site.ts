import assert from 'node:assert/strict'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { BackupDocument } from '../../src/api/backup-document.ts'
import type { Settings } from '../support/initialize-cluster.ts'
import { expectOk } from '../support/holdfast.ts'
import { startProtectedCluster, type ProtectedCluster } from '../support/protected-cluster.ts'
import type { Scratch } from '../support/scratch.ts'
import type { Session } from '../support/server-session.ts'
import type { Major } from '../support/server-binaries.ts'
import { waitUntil } from '../support/wait.ts'
import type { Statement } from './world.ts'

export interface SiteShape {
  readonly major: Major
  readonly checksums: boolean
  readonly walSegmentSizeMb: number
  readonly settings: Settings
}

/** A protected cluster that can be struck, and from which only audited incrementals are taken. */
export class OracleSite implements AsyncDisposable {
  readonly cluster: ProtectedCluster
  auditCount = 0

  constructor(cluster: ProtectedCluster) {
    this.cluster = cluster
  }

  /** Each in its database, which can be copied and dropped by the next. */
  async execute(statements: readonly Statement[]): Promise<void> {
    for (let next = 0; next < statements.length;) {
      const database = databaseOf(statements[next])
      await using session = await this.cluster.server.session(database)
      await session.query("set lock_timeout = '60s'; set statement_timeout = '120s'")
      for (; next < statements.length && databaseOf(statements[next]) === database; next += 1)
        await execute(session, statements[next])
    }
  }

  /** An incremental that was audited from end to end: everything was proven and nothing differed, or this throws. */
  async auditedBackup(...options: readonly string[]): Promise<BackupDocument['backup']> {
    const { backup, stderr } = await this.#backup('--type', 'incr', '--audit', ...options)
    assert.ok(backup.isAudited, `backup ${backup.label} was not audited: ${stderr}`)
    assert.doesNotMatch(stderr, /everything is read|audit-failed|a full backup is taken/)
    this.auditCount += 1
    return backup
  }

  async plainBackup(): Promise<BackupDocument['backup']> {
    const { backup, stderr } = await this.#backup('--type', 'incr')
    assert.doesNotMatch(stderr, /everything is read/)
    return backup
  }

  /** Loses what was not yet in the WAL, and unlogged tables. */
  async crash(): Promise<void> {
    await this.cluster.server.stop('immediate')
    await this.cluster.server.start()
  }

  /** In the midst of this statement, which may or may not come through. */
  async crashDuring(sql: string, afterMs: number): Promise<void> {
    await using session = await this.cluster.server.session()
    const struck = session.query(sql).catch(() => undefined)
    await new Promise((resolve) => {
      setTimeout(resolve, afterMs)
    })
    await this.cluster.server.stop('immediate')
    await struck
    await this.cluster.server.start()
  }

  /** An archive recovery in place to the end of the WAL: the server goes on on a new timeline. */
  async promote(): Promise<void> {
    const { server } = this.cluster
    // It removes segments of the old timeline although they still wait to be archived.
    await this.#untilArchived()
    await server.stop('immediate')
    await writeFile(join(server.dataDirectory, 'recovery.signal'), '')
    await server.start()
    await waitUntil('the promotion', async () => {
      const [row] = await server.query<{ over: boolean }>('select not pg_is_in_recovery() as over')
      return row?.over
    })
    await this.#untilArchived()
  }

  async #untilArchived(): Promise<void> {
    const folder = join(this.cluster.server.dataDirectory, 'pg_wal', 'archive_status')
    await waitUntil('all segments to be archived', async () =>
      (await readdir(folder)).every((name) => !name.endsWith('.ready')),
    )
  }

  async #backup(
    ...options: readonly string[]
  ): Promise<{ backup: BackupDocument['backup']; stderr: string }> {
    const result = await this.cluster.run(['--output', 'json', 'backup', ...options])
    const { stdout, stderr } = expectOk(result)
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what it says is what is looked at
    const { backup } = JSON.parse(stdout) as BackupDocument
    return { backup, stderr }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.cluster[Symbol.asyncDispose]()
  }
}

export async function startOracleSite(scratch: Scratch, shape: SiteShape): Promise<OracleSite> {
  const cluster = await startProtectedCluster(scratch, shape)
  const site = new OracleSite(cluster)
  const { server, archive } = cluster
  // As it must stand in postgresql.conf, where a backslash is an escape.
  await server.setSetting('restore_command', archive.restoreCommand().replaceAll('\\', String.raw`\\`))
  return site
}

const databaseOf = (statement: Statement | undefined): string =>
  typeof statement === 'object' ? statement.database : 'postgres'

async function execute(session: Session, statement: Statement | undefined): Promise<void> {
  const sql = typeof statement === 'object' ? statement.sql : statement
  try {
    await session.query(sql ?? '')
  } catch (cause) {
    throw new Error(`in database "${databaseOf(statement)}": ${sql}`, { cause })
  }
}
