import assert from 'node:assert/strict'
import { open, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import type { BackupDocument } from '../../src/api/backup-document.ts'
import type { TestServer } from '../support/postgres-server.ts'
import { createScratch } from '../support/scratch.ts'
import { startOracleSite, type OracleSite } from './oracle-site.ts'
import { columns, rows } from './world.ts'

const blockBytes = 8192

describe('an audited incremental', () => {
  for (const checksums of [true, false]) {
    test(`tells silent changes that do no harm from those that do, ${checksums ? 'with' : 'without'} checksums (R53)`, async () => {
      await using scratch = await createScratch('unnamed')
      await using site = await startOracleSite(scratch, {
        major: checksums ? 18 : 14,
        checksums,
        walSegmentSizeMb: 16,
        settings: { autovacuum: false },
      })
      const { server } = site.cluster
      await fill(site)
      const old = await readBlock(await fileOf(server, 'aged'), 0)
      await server.query('update aged set filling = reverse(filling)')
      await site.cluster.takeBackup('--type', 'full')

      await changeSilently(server, checksums)
      await site.auditedBackup()

      const aged = await readBlock(await fileOf(server, 'aged'), 0)
      const foreign = await writeBehindTheBack(site, old)
      const found = await failedAudit(site)
      const stale = { block: 0, page: text(old), parentPage: text(aged) }
      const strange = { block: 3, page: text(foreign.written), parentPage: text(foreign.replaced) }
      // Without checksums an audit looks at some only of the pages that may differ by hint bits, as the stale one may.
      assert.deepEqual(found, checksums || found.length === 2 ? [stale, strange] : [strange])
      assert.equal((await site.auditedBackup()).type, 'incr')
    })
  }
})

async function fill(site: OracleSite): Promise<void> {
  await site.execute([
    ...['aged', 'struck', 'busy', 'unread'].map((name) => `create table ${name} ${columns}`),
    ...['aged', 'struck', 'busy', 'unread'].map((name) => `insert into ${name} ${rows(1, 3000, 4)}`),
    'create index places on busy using spgist (place)',
    // All but `unread` get their hint bits, and WAL for them where there are checksums.
    'vacuum (freeze) aged, struck, busy',
    'checkpoint',
  ])
}

/** With checksums the metapage of an SP-GiST index, without them hint bits: no WAL tells of it, and the LSN stays. */
async function changeSilently(server: TestServer, checksums: boolean): Promise<void> {
  const file = await fileOf(server, checksums ? 'places' : 'unread')
  const before = await readBlock(file, 0)
  await server.query(checksums ? `insert into busy ${rows(1, 2000, 1)}` : 'select count(*) from unread')
  await server.query('checkpoint')
  const after = await readBlock(file, 0)
  assert.notDeepEqual(after, before)
  assert.equal(after.readBigUInt64LE(0), before.readBigUInt64LE(0))
}

/** An old copy of a block of one table, and into another a block with a new LSN, whose checksum is right there too. */
async function writeBehindTheBack(
  { cluster: { server } }: OracleSite,
  old: Buffer,
): Promise<{ readonly written: Buffer; readonly replaced: Buffer }> {
  const [aged, struck, busy] = await Promise.all(
    ['aged', 'struck', 'busy'].map((name) => fileOf(server, name)),
  )
  assert.ok(aged !== undefined && struck !== undefined && busy !== undefined)
  await server.query('update busy set filling = md5(filling)')
  await server.stop()
  const [written, replaced] = [await readBlock(busy, 3), await readBlock(struck, 3)]
  await writeBlock(aged, 0, old)
  await writeBlock(struck, 3, written)
  await server.start()
  return { written, replaced }
}

interface Difference {
  readonly block: number
  readonly page: string
  readonly parentPage: string
}

/** Takes a backup whose audit must fail. Gives what it kept of what it found, by block. */
async function failedAudit({ cluster }: OracleSite): Promise<readonly Difference[]> {
  const { code, stdout, stderr } = await cluster.run(['--output', 'json', 'backup', '--audit'])

  assert.equal(code, 4, stderr)
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what it says is what the test looks at
  const { backup, auditFailure } = JSON.parse(stdout) as BackupDocument
  assert.equal(backup.type, 'full')
  assert.match(
    auditFailure ?? '',
    /expected only blocks to differ from backup .* that the WAL names, found \d/,
  )
  assert.match(stderr, /a full backup is taken instead/)
  const state = join(cluster.archive.folder, 'state')
  const names = await readdir(state, { recursive: true })
  const name = names.find((candidate) => /audit-main-\d+\.json$/.test(candidate)) ?? assert.fail(names.join())
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the same
  const { differences } = JSON.parse(await readFile(join(state, name), 'utf8')) as {
    readonly differences: readonly Difference[]
  }
  return differences
    .map(({ block, page, parentPage }) => ({ block, page, parentPage }))
    .toSorted((one, other) => one.block - other.block)
}

const text = (page: Buffer): string => page.toString('base64')

async function fileOf(server: TestServer, relation: string): Promise<string> {
  const [row] = await server.query<{ path: string }>('select pg_relation_filepath($1) as path', [relation])
  return join(server.dataDirectory, row?.path ?? '')
}

async function readBlock(path: string, block: number): Promise<Buffer> {
  await using file = await open(path, 'r')
  const page = Buffer.alloc(blockBytes)
  await file.read(page, 0, blockBytes, block * blockBytes)
  return page
}

async function writeBlock(path: string, block: number, page: Buffer): Promise<void> {
  await using file = await open(path, 'r+')
  await file.write(page, 0, blockBytes, block * blockBytes)
}
