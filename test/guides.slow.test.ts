import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, test } from 'node:test'
import { promisify } from 'node:util'
import type { FindDocument } from '../src/api/find-document.ts'
import { shellQuote } from '../src/archive/shell-quote.ts'
import { createScratch } from './support/scratch.ts'
import { startUserSite, type UserSite } from './support/user-site.ts'

const run = promisify(execFile)
const root = join(import.meta.dirname, '..')
const orderCount = 5000

describe('the guide', () => {
  test('of the bad night leads back to the data, command by command', async () => {
    await using scratch = await createScratch('night')
    await using site = await startShop(scratch)
    await site.backup()
    await site.server.query('drop table orders')
    await site.switchWal()
    const moment = await momentBefore(site)
    const shell = await openShell(site, [
      ['--target-lsn 0/5A3F1C8 --target-exclusive', moment.join(' ')],
      ['/srv/restored', join(site.folder, 'restored')],
    ])

    const said = await runGuide('docs/bad-night.md', shell)

    assert.match(said, /dropped public\.orders in postgres/)
    assert.equal(said.match(new RegExp(`^${orderCount}$`, 'gm'))?.length, 2, said)
    const [live] = await site.server.query<{ count: number }>('select count(*)::int as count from orders')
    assert.equal(live?.count, orderCount)
    await using restored = await site.open(join(site.folder, 'restored'))
    const [row] = await restored.query<{ count: number }>('select count(*)::int as count from orders')
    assert.equal(row?.count, orderCount)
    assert.match(said, /^passed: to the end of the archive/m)
  })

  test('of proving restores proves them, command by command', async () => {
    await using scratch = await createScratch('proving')
    await using site = await startShop(scratch)
    await site.backup()
    const [row] = await site.server.query<{ now: string }>('select clock_timestamp()::text as now')
    await site.server.query('create table later as select 1 as one')
    await site.switchWal()
    const assertions = join(site.folder, 'assertions.sql')
    const [text = ''] = await blocksOf('docs/drill.md', 'sql')
    await writeFile(assertions, text)
    const shell = await openShell(site, [
      ['2026-02-19 12:00 Europe/Berlin', row?.now ?? ''],
      ['/etc/holdfast/assertions.sql', assertions],
      ['--database shop', '--database postgres'],
    ])

    const said = await runGuide('docs/drill.md', shell)

    assert.equal(said.match(/^passed: /gm)?.length, 2, said)
    assert.match(said, /^passed +assertions/m)
  })
})

async function startShop(scratch: Parameters<typeof startUserSite>[0]['scratch']): Promise<UserSite> {
  const site = await startUserSite({ major: 17, scratch })
  await site.server.query('create table orders (id int primary key, created_at timestamptz not null)')
  await site.server.query(
    `insert into orders select g, now() - g * interval '1 second' from generate_series(1, ${orderCount}) g`,
  )
  return site
}

async function momentBefore(site: UserSite): Promise<readonly string[]> {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what it says is what the test goes by
  const { transactions } = (await site.answer('find', '--kind', 'drop')) as unknown as FindDocument
  return transactions[0]?.restore?.options ?? assert.fail('the drop was not found')
}

interface Shell {
  readonly env: Readonly<Record<string, string>>
  /** What stands in a guide for what the reader has instead. */
  readonly replacements: readonly (readonly [string, string])[]
}

/** Where `holdfast` is the tool with the configuration of this site, and `psql` a client of this server. */
async function openShell(site: UserSite, replacements: Shell['replacements']): Promise<Shell> {
  const programs = join(site.folder, 'programs')
  await mkdir(programs)
  await chmod(site.folder, 0o755)
  const { server, configuration } = site
  const program = async (name: string, line: string): Promise<void> =>
    writeFile(join(programs, name), `#!/bin/sh\n${line}\n`, { mode: 0o755 })
  const node = shellQuote(process.execPath)
  await program('holdfast', `exec ${node} ${shellQuote(join(root, 'bin/holdfast'))} "$@"`)
  await program('psql', `shift; exec ${node} ${shellQuote(join(root, 'test/support/run-query.ts'))} "$@"`)
  const [, host = ''] = /host=(\S+)/.exec(server.connectionString) ?? []
  const sandboxes = join(site.folder, 'sandboxes')
  await writeFile(
    configuration,
    `${await readFile(configuration, 'utf8')}\nsandbox-directory: ${sandboxes}\n`,
  )
  const env = {
    PATH: `${programs}:${dirname(process.execPath)}:/usr/bin:/bin`,
    HOME: site.folder,
    LC_ALL: 'C.UTF-8',
    HOLDFAST_CONFIG: configuration,
    XDG_STATE_HOME: join(site.folder, 'state'),
    PGHOST: host.replaceAll("'", ''),
    PGPORT: String(server.port),
    PGUSER: 'postgres',
    PGDATABASE: 'postgres',
  }
  return { env, replacements }
}

/** Runs all commands of a guide in one shell, which ends at the first that fails. Gives what they said. */
async function runGuide(file: string, { env, replacements }: Shell): Promise<string> {
  const guide = (await blocksOf(file, 'sh')).join('\n')
  const script = replacements.reduce((text, [from, to]) => {
    assert.ok(text.includes(from), `${file} has no "${from}"`)
    return text.replaceAll(from, to)
  }, guide)
  const { stdout } = await run('sh', ['-eu', '-c', script], { env, timeout: 300_000 })
  return stdout
}

/** Code blocks of one language, in the order of the document. */
async function blocksOf(file: string, language: string): Promise<readonly string[]> {
  const text = await readFile(join(root, file), 'utf8')
  const blocks = [...text.matchAll(/^```(\w+)\n(.*?)^```$/gms)]
  return blocks.filter(([, found]) => found === language).map(([, , block = '']) => block)
}
