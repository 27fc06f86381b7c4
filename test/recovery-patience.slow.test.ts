import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { parseBackupLabel } from '../src/domain/backup-label.ts'
import { OperationError } from '../src/domain/operation-error.ts'
import type { Clock } from '../src/domain/run-context.ts'
import { systemClock } from '../src/platform/system-clock.ts'
import { requireCluster } from '../src/repository/cluster-record.ts'
import { openRepository } from '../src/repository/open-repository.ts'
import { prepareRestore, runRestore } from '../src/restore/run-restore.ts'
import { buildObjects, newerBackup, siteUnlocker, storeOf } from './corruption/damaged-site.ts'
import { recordingContext, temporaryFolder } from './support/archive-fixture.ts'

/** How much faster than the world the recovering process lives. */
const haste = 400

describe('recovery by a server that lives and lets nobody in', () => {
  test('ends after two minutes with the last failure, when waiting does not cure it', async () => {
    const { error, waitedMs } = await recoverWith(`setInterval(() => {}, 1000)`)

    assert.equal(error.code, 'recovery-failed')
    assert.equal(error.exitCode, 1)
    assert.match(error.message, /no connection .* for 2 minutes.*ENOENT/)
    assert.ok(waitedMs >= 120_000 && waitedMs < 400_000, `${waitedMs}`)
  })

  test('goes on as long as the server says that it starts, and ends with it', async () => {
    const { error, waitedMs } = await recoverWith(`
      const { createServer } = await import('node:net')
      const settings = process.argv.join(' ')
      const folder = /unix_socket_directories="([^"]+)"/.exec(settings)[1]
      const fields = ['SFATAL', 'VFATAL', 'C57P03', 'Mthe database system is starting up', '']
      const body = Buffer.from(fields.join('\\0') + '\\0')
      const head = Buffer.alloc(5)
      head.write('E')
      head.writeUInt32BE(body.length + 4, 1)
      createServer((socket) => {
        socket.on('error', () => {})
        socket.once('data', () => socket.end(Buffer.concat([head, body])))
      }).listen(folder + '/.s.PGSQL.5432')
      setTimeout(() => {
        console.error('2026-02-20 15:30:00 UTC [1] FATAL:  that is enough')
        process.exit(1)
      }, 1200)`)

    assert.equal(error.code, 'recovery-failed')
    assert.match(error.message, /that is enough/)
    assert.ok(waitedMs > 300_000, `${waitedMs}`)
  })
})

/** Restores with a program in the place of the server, to the failure. */
async function recoverWith(program: string): Promise<{ error: OperationError; waitedMs: number }> {
  await using folder = await temporaryFolder()
  const binDirectory = join(folder.path, 'bin')
  await mkdir(binDirectory)
  const guard = `if (process.argv[2] === '--version') { console.log('postgres (PostgreSQL) 16.4'); process.exit() }`
  await writeFile(join(folder.path, 'server.mjs'), `${guard}\n${program}\n`)
  const start = `#!/bin/sh\nexec '${process.execPath}' '${join(folder.path, 'server.mjs')}' "$@"\n`
  await writeFile(join(binDirectory, 'postgres'), start, { mode: 0o755 })
  const context = { ...recordingContext(), clock: hasty }
  const repository = await openRepository(
    await storeOf(await buildObjects()),
    { unlocker: siteUnlocker },
    context,
  )
  const tools = {
    place: { repository, cluster: await requireCluster(repository, 'main', context) },
    workers: 1,
    restoreCommand: () => 'false',
    binaries: { searchPath: '', configured: binDirectory },
    roles: ['postgres'],
    forbidden: { repository: undefined, home: undefined },
  }
  const request = {
    targetDirectory: join(folder.path, 'restored'),
    backup: parseBackupLabel(newerBackup),
    target: { kind: 'immediate', timeline: 'current', action: 'promote' },
    isDelta: false,
    tablespaceMap: [],
    isFilesOnly: false,
    continuesLineage: false,
  } as const
  const prepared = await prepareRestore(request, tools, context)
  const begunAt = hasty.monotonic()
  const error = await runRestore(prepared, tools, context).then(
    () => assert.fail('it recovered'),
    (failure: unknown) => failure,
  )
  assert.ok(error instanceof OperationError, String(error))
  return { error, waitedMs: hasty.monotonic() - begunAt }
}

const hasty: Clock = {
  now: () => systemClock.now(),
  monotonic: () => systemClock.monotonic() * haste,
  sleep: (ms, signal) => systemClock.sleep(Math.min(ms, 5), signal),
}
