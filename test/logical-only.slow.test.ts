import assert from 'node:assert/strict'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { CheckDocument, CheckItemListing } from '../src/api/check-document.ts'
import type { DumpDocument } from '../src/api/dump-document.ts'
import type { InfoDocument } from '../src/api/info-document.ts'
import type { InitDocument } from '../src/api/init-document.ts'
import { clientMajor, installClientPrograms } from './support/client-programs.ts'
import { giveTree } from './support/give-tree.ts'
import { expectOk } from './support/holdfast.ts'
import { startRemoteServer, type RemoteServer } from './support/remote-server.ts'
import { createScratch, type Scratch } from './support/scratch.ts'

describe('a cluster of dumps only', () => {
  let scratch: Scratch
  let remote: RemoteServer
  let programs: string
  before(async () => {
    scratch = await createScratch('logical-only')
    programs = await installClientPrograms(scratch.folder)
    remote = await startRemoteServer({ major: clientMajor, scratch, programs })
    await remote.server.query('create database "Shop"')
    await using shop = await remote.server.session('Shop')
    await shop.query('create schema private; create table private.orders (id serial primary key, text text)')
    await shop.query('insert into private.orders (text) select md5(i::text) from generate_series(1, 5000) i')
    await shop.query('select lo_from_bytea(4711, $$large$$); grant select on large object 4711 to dumper')
  })
  after(async () => {
    await remote[Symbol.asyncDispose]()
    await scratch[Symbol.asyncDispose]()
  })

  test('is set up by a role without rights over TCP, and the server is asked for no settings', async () => {
    const document = await answer<InitDocument>(remote, 'init', '--logical-only', ...remote.setup)

    assert.deepEqual(
      [document.dataDirectory, document.settings, document.statements, document.restart],
      [null, [], [], null],
    )
    assert.match(document.serverVersion, /^15\./)
    assert.equal(document.clusterRecord, 'created')
    assert.match(await readFile(remote.configuration, 'utf8'), /^ {4}logical-only: true$/m)
    const again = expectOk(await remote.run('init', '--logical-only', ...remote.setup))
    assert.match(again.stdout, /Everything is set up, for dumps only.\n.*"holdfast dump --all"/)
    assert.doesNotMatch(again.stdout, /settings|archive|wal_level/)
  })

  test('is not what "init" without the option was asked for', async () => {
    const { code, stderr } = await remote.run('init', ...remote.setup)

    assert.equal(code, 1)
    assert.match(stderr, /may not read .*data_directory/)
    const both = await remote.run('init', '--logical-only', '--apply', ...remote.setup)
    assert.equal(both.code, 2)
    const asSuperuser = [...remote.setup, `--connection=${remote.server.connectionString}`]
    const differing = await remote.run('init', ...asSuperuser)
    assert.equal(differing.code, 5)
    assert.match(differing.stderr, /its logical-only is "true", expected "false"/)
  })

  test('is found sound by "check", which has nothing to say on WAL', async () => {
    const { isHealthy, items } = await check(remote)

    assert.deepEqual(
      items.filter(({ state }) => state === 'failed'),
      [],
    )
    assert.equal(isHealthy, true)
    for (const { name } of items) assert.doesNotMatch(name, /archiv|WAL|setting|drill|data directory|backup/)
    assert.match(itemOf(items, 'connection').message, /^PostgreSQL 15\./)
    assert.match(itemOf(items, 'client programs').message, /pg_dump" .*version 15\./)
    assert.equal(itemOf(items, 'database "Shop"').message, 'role "dumper" may read all of it')
    assert.match(itemOf(items, 'writing to repo local').message, /came back intact/)
    assert.match(itemOf(items, 'identity of repo local').message, /^system \d+, PostgreSQL 15/)
    assert.deepEqual(
      [itemOf(items, 'last dump of repo local').state, itemOf(items, 'last dump of repo local').hint],
      ['warning', 'Take the first one with "holdfast dump --all".'],
    )
    const { stdout } = expectOk(await remote.run('info'))
    assert.match(stdout, /^dumps\nnone yet; "holdfast dump --all" takes the first$/m)
  })

  test('is dumped by that role, and loaded by one that may make databases', async () => {
    const { dump } = await answer<DumpDocument>(remote, 'dump', '--all', '--no-role-passwords')

    const into = ['--into', remote.connectionOf('loader'), '--as', 'copy', '--create', '--no-owner']
    expectOk(await remote.run('load', dump.label, '--database', 'Shop', '--no-privileges', ...into))

    const content = async (database: string): Promise<unknown> => {
      await using session = await remote.server.session(database)
      const { rows } = await session.query(
        `select count(*)::int, md5(string_agg(text, ',' order by id)), encode(lo_get(4711), 'escape') as large
           from private.orders`,
      )
      return rows
    }
    assert.deepEqual(await content('copy'), await content('Shop'))
    const { items } = await check(remote)
    assert.equal(itemOf(items, 'last dump of repo local').state, 'ok')
    assert.match(itemOf(items, 'copies').message, /^the newest dump is in local: 2 copies with the cluster/)
  })

  test('is described by "info" without what it cannot have', async () => {
    const info = await answer<InfoDocument>(remote, 'info')

    assert.equal(info.isLogicalOnly, true)
    const [repo] = info.repos
    assert.deepEqual([repo?.backups, repo?.windows, repo?.dumps.length], [[], [], 1])
    const { stdout } = expectOk(await remote.run('info'))
    assert.match(stdout, /^dumps\n/m)
    assert.doesNotMatch(stdout, /recover|backup|WAL|restore/)
    expectOk(await remote.run('verify'))
    expectOk(await remote.run('expire'))
  })

  test('refuses what takes physical backups or WAL, and names the next step', async () => {
    const load = /hint: .*"holdfast load LABEL --as NAME --create"/
    const refused: readonly (readonly [readonly string[], number, RegExp])[] = [
      [['backup'], 2, /hint: Run "holdfast dump --all"/],
      [['backup', '--dry-run'], 2, /hint: Run "holdfast dump --all"/],
      [['archive-push', '/nowhere/pg_wal/000000010000000000000001'], 2, /hint: Take "archive_command" out/],
      [['archive-get', '000000010000000000000001', '/nowhere/file'], 126, /hint: Take "restore_command" out/],
      [['restore', '--target-dir', '/nowhere/data'], 2, load],
      [['at', '--target-time', '2026-01-01 00:00:00Z'], 2, load],
      [['drill'], 2, load],
      [['rescue', '--table', 'orders', '--target-time', '2026-01-01 00:00:00Z'], 2, load],
      [['dump', '--all', '--at', '--target-time', '2026-01-01 00:00:00Z'], 2, load],
      [['find'], 2, load],
    ]
    for (const [args, expected, hint] of refused) {
      const { code, stderr } = await remote.run(...args)
      const about = `holdfast ${args.join(' ')}: ${stderr}`
      assert.equal(code, expected, about)
      assert.match(
        stderr,
        /cluster "remote": expected one with physical backups, found one for dumps only/,
        about,
      )
      assert.match(stderr, hint, about)
    }
  })

  test('fails in "check" where the role may not read everything, with what to grant', async () => {
    const { server } = remote
    await server.query('create database closed')
    await server.query('revoke connect on database closed from public')
    await server.query('revoke pg_read_all_data from dumper')
    await using shop = await server.session('Shop')
    await shop.query('create table own as select 1 as v; grant select on own to dumper')
    await shop.query('alter table own enable row level security; select lo_create(4712)')

    const { isHealthy, items } = await check(remote)

    assert.equal(isHealthy, false)
    const { message, hint } = itemOf(items, 'database "Shop"')
    assert.match(message, /tables and sequences that it may not read: 2, the first is private.orders;/)
    assert.match(message, /row-level security hides rows: 1, the first is public.own;/)
    assert.match(message, /large objects that it may not read: 1, the first is 4712$/)
    assert.match(
      hint ?? '',
      /GRANT pg_read_all_data TO "?dumper"?; ALTER ROLE "?dumper"? BYPASSRLS; GRANT SELECT/,
    )
    const closed = itemOf(items, 'database "closed"')
    assert.match(
      closed.hint ?? '',
      /GRANT CONNECT ON DATABASE "?closed"? TO "?dumper"?; or leave .*"excluded-databases"/,
    )
    assert.match(itemOf(items, 'roles').hint ?? '', /--no-role-passwords/)

    await server.query('grant pg_read_all_data to dumper')
    await server.query('alter role dumper bypassrls')
    await shop.query('grant select on large object 4712 to dumper')
    assert.equal((await remote.run('dump', '--all')).code, 1)
    const text = await readFile(remote.configuration, 'utf8')
    const excluding = text.replace('logical-only: true', '$&\n    excluded-databases: [closed, copy]')
    await writeFile(remote.configuration, excluding)
    assert.equal((await check(remote)).isHealthy, true)
    const { members } = await answer<DumpDocument>(remote, 'dump', '--all', '--no-globals')
    assert.deepEqual(
      members.map(({ database }) => database),
      ['Shop', 'postgres'],
    )
  })

  test('names what helps where the hashes of passwords may not be read', async () => {
    await remote.server.query('revoke pg_read_all_data from dumper')
    const { code, stderr } = await remote.run('dump', '--database', 'postgres', '--globals')
    await remote.server.query('grant pg_read_all_data to dumper')

    assert.equal(code, 1)
    assert.match(stderr, /permission denied for table pg_authid[^]*hint: Add --no-role-passwords/)
  })

  test('is set up and checked on PostgreSQL 14, and dumped from a standby as well', async () => {
    await using older = await startRemoteServer({ major: 14, scratch, programs })

    const { serverVersion } = await answer<InitDocument>(older, 'init', '--logical-only', ...older.setup)

    assert.match(serverVersion, /^14\./)
    assert.equal((await check(older)).isHealthy, true)
    await older.server.stop()
    await writeFile(join(older.server.dataDirectory, 'standby.signal'), '')
    await giveTree(older.server.dataDirectory, scratch.user)
    await older.server.start()
    assert.deepEqual(await older.server.query('select pg_is_in_recovery() as is'), [{ is: true }])
    expectOk(await older.run('init', '--logical-only', ...older.setup))
    assert.equal((await check(older)).isHealthy, true)
    expectOk(await older.run('dump', '--all'))
  })

  test('fails in "check" on a server that the client programs are too old for, and in nothing else', async () => {
    await using newer = await startRemoteServer({ major: 18, scratch, programs })
    expectOk(await newer.run('init', '--logical-only', ...newer.setup))

    const { isHealthy, items } = await check(newer)

    assert.equal(isHealthy, false)
    const failed = items.filter(({ state }) => state === 'failed')
    assert.deepEqual(
      failed.map(({ name }) => name),
      ['client programs'],
    )
    assert.match(failed[0]?.message ?? '', /looking for pg_dump and its kin of PostgreSQL 18 or later.*15\./)
  })

  test('cannot be set up where the server does not say who it is', async () => {
    await using silent = await startRemoteServer({ major: 17, scratch, programs })
    await silent.server.query('revoke execute on function pg_control_system() from public')

    const { code, stderr } = await silent.run('init', '--logical-only', ...silent.setup)

    assert.equal(code, 2)
    assert.match(stderr, /expected pg_control_system\(\) to give it, found "permission denied for function/)
    await assert.rejects(stat(silent.configuration))
  })
})

async function answer<Document>(remote: RemoteServer, ...args: readonly string[]): Promise<Document> {
  return JSON.parse(expectOk(await remote.run('--output', 'json', ...args)).stdout) as Document
}

async function check(remote: RemoteServer): Promise<CheckDocument> {
  return JSON.parse((await remote.run('--output', 'json', 'check')).stdout) as CheckDocument
}

function itemOf(items: readonly CheckItemListing[], name: string): CheckItemListing {
  return items.find((item) => item.name === name) ?? assert.fail(`no "${name}" in ${JSON.stringify(items)}`)
}
