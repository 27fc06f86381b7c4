import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import type { Clock } from '../domain/run-context.ts'
import { isOperationError } from '../domain/operation-error.ts'
import { testContext } from '../../test/support/repository.ts'
import type { Scan } from './scan.ts'
import { scanDataDirectory, type ListedTablespace, type ScanRequest } from './scan-data-directory.ts'

interface Tree extends Disposable {
  readonly root: string
  readonly dataDirectory: string
}

/** A data directory with these files (a trailing slash makes a folder), removed after the test. */
function tree(...paths: readonly (string | Buffer)[]): Tree {
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'holdfast-scan-')))
  const dataDirectory = join(root, 'data')
  mkdirSync(dataDirectory)
  for (const path of paths) {
    const place = Buffer.concat([Buffer.from(`${dataDirectory}/`), Buffer.from(path)])
    const slash = place.lastIndexOf('/')
    mkdirSync(place.subarray(0, slash), { recursive: true })
    if (slash < place.length - 1) writeFileSync(place, 'x')
  }
  return { root, dataDirectory, [Symbol.dispose]: () => rmSync(root, { recursive: true }) }
}

const listing =
  (...tablespaces: readonly ListedTablespace[]) =>
  (): Promise<readonly ListedTablespace[]> =>
    Promise.resolve(tablespaces)

function requestFor(dataDirectory: string): ScanRequest {
  return { dataDirectory, tablespaceVersionFolder: 'PG_18_1', readTablespaces: listing(), links: 'error' }
}

function scan(dataDirectory: string, changes: Partial<ScanRequest> = {}): Promise<Scan> {
  const request = { ...requestFor(dataDirectory), ...changes }
  return scanDataDirectory(request, testContext({ clock: hastyClock() }))
}

/** Time passes by sleeping alone, and at once. */
function hastyClock(whenSlept: () => void = () => undefined): Clock {
  let elapsedMs = 0
  return {
    now: () => elapsedMs,
    monotonic: () => elapsedMs,
    sleep: (ms) => {
      elapsedMs += ms
      whenSlept()
      return Promise.resolve()
    },
  }
}

const filesOf = ({ files }: Scan): readonly string[] => files.map(({ path }) => path).toSorted()
const foldersOf = ({ directories }: Scan): readonly string[] => directories.map(({ path }) => path).toSorted()

describe('scanDataDirectory', () => {
  test('takes files and folders, empties what the server makes anew, leaves out what is its own (R10)', async () => {
    using data = tree(
      'PG_VERSION',
      'global/pg_control',
      'base/5/1259',
      'base/5/pg_internal.init',
      'base/pgsql_tmp/pgsql_tmp1.0',
      'pg_wal/000000010000000000000001',
      'pg_wal/archive_status/000000010000000000000001.ready',
      'pg_replslot/slot/state',
      'pg_xact/0000',
      'postmaster.pid',
      'backup_label',
    )
    const found = await scan(data.dataDirectory)

    assert.deepEqual(filesOf(found), ['PG_VERSION', 'base/5/1259', 'global/pg_control', 'pg_xact/0000'])
    const folders = [
      '',
      'base',
      'base/5',
      'global',
      'pg_replslot',
      'pg_wal',
      'pg_wal/archive_status',
      'pg_xact',
    ]
    assert.deepEqual(foldersOf(found), folders)
  })

  test('keeps only the init fork of unlogged relations, and no temporary ones, where relations are (R11)', async () => {
    using data = tree(
      'base/5/100',
      'base/5/100_fsm',
      'base/5/100.1',
      'base/5/100_init',
      'base/5/101',
      'base/5/t3_102',
      'pg_xact/100',
    )

    assert.deepEqual(filesOf(await scan(data.dataDirectory)), [
      'base/5/100_init',
      'base/5/101',
      'pg_xact/100',
    ])
  })

  test('takes names as bytes, whatever they are (R16)', async () => {
    const names = [
      'a\nb',
      'a\\b',
      'a"b',
      "a'b",
      'a=b',
      'a%b',
      ' a',
      '#a',
      '[a',
      'a b',
      'é',
      '-rf',
      '..a',
      '*',
      '$(a)',
    ]
    const bytes = Buffer.from([0x61, 0xff, 0xfe, 0x80])
    using data = tree(...names, bytes)
    const found = await scan(data.dataDirectory)

    const expected = [...names.map((name) => Buffer.from(name).toString('latin1')), bytes.toString('latin1')]
    assert.deepEqual(filesOf(found), expected.toSorted())
  })

  test('passes over sockets and pipes with a warning, without opening them (R16)', async () => {
    using data = tree('PG_VERSION')
    execFileSync('/usr/bin/mkfifo', [join(data.dataDirectory, 'pipe')])
    const context = testContext()
    const request = {
      dataDirectory: data.dataDirectory,
      tablespaceVersionFolder: 'PG_18_1',
      readTablespaces: listing(),
      links: 'error',
    } as const
    const found = await scanDataDirectory(request, context)

    assert.deepEqual(filesOf(found), ['PG_VERSION'])
    assert.match(JSON.stringify(context.events), /pipe.*neither a file nor a directory/)
  })

  test('takes tablespaces by their links, only this version, and not twice when they lie inside (R14)', async () => {
    using data = tree('PG_VERSION', 'inside/PG_18_1/5/300', 'pg_tblspc/200/PG_18_1/5/301')
    const outside = join(data.root, 'fast disk')
    mkdirSync(join(outside, 'PG_18_1', '5'), { recursive: true })
    mkdirSync(join(outside, 'PG_17_1'))
    writeFileSync(join(outside, 'PG_18_1', '5', '302'), 'x')
    writeFileSync(join(outside, 'PG_18_1', '5', '302_init'), 'x')
    symlinkSync(outside, join(data.dataDirectory, 'pg_tblspc', '100'))
    symlinkSync(join(data.dataDirectory, 'inside'), join(data.dataDirectory, 'pg_tblspc', '101'))
    const tablespaces = [
      { oid: 100, name: 'fast' },
      { oid: 101, name: 'inside' },
      { oid: 200, name: 'in_place' },
    ]
    const found = await scan(data.dataDirectory, { readTablespaces: listing(...tablespaces) })

    assert.deepEqual(found.files.map(({ root, path }) => `${root} ${path}`).toSorted(), [
      '0 PG_VERSION',
      '0 pg_tblspc/200/PG_18_1/5/301',
      '100 PG_18_1/5/302_init',
      '101 PG_18_1/5/300',
    ])
    assert.deepEqual(found.tablespaces, [
      { oid: 100, name: 'fast', location: outside },
      { oid: 101, name: 'inside', location: join(data.dataDirectory, 'inside') },
      { oid: 200, name: 'in_place', location: undefined },
    ])
    assert.deepEqual(found.links, [])
  })

  test('refuses a tablespace whose link, place or folder of this version is not there (R7)', async () => {
    using data = tree('PG_VERSION', 'pg_tblspc/')
    const empty = join(data.root, 'not mounted')
    mkdirSync(empty)
    symlinkSync(empty, join(data.dataDirectory, 'pg_tblspc', '100'))
    symlinkSync(join(data.root, 'gone'), join(data.dataDirectory, 'pg_tblspc', '101'))

    for (const oid of [100, 101, 102]) {
      const readTablespaces = listing({ oid, name: 'lost' })
      await assert.rejects(scan(data.dataDirectory, { readTablespaces }), (error) =>
        isOperationError(error, 'file-unreadable'),
      )
    }
  })

  test('leaves out a tablespace that is dropped while it looks, as soon as the server does not list it (R10)', async () => {
    using data = tree('PG_VERSION', 'pg_tblspc/')
    const space = join(data.root, 'space')
    mkdirSync(space) // its folder of this version is removed before the link is
    const link = join(data.dataDirectory, 'pg_tblspc', '100')
    symlinkSync(space, link)
    const dropped = { oid: 100, name: 'dropped' }
    const gone = { oid: 101, name: 'gone' }
    const answers = [[dropped, gone], [dropped, gone], [dropped]]
    const readTablespaces = (): Promise<readonly ListedTablespace[]> => Promise.resolve(answers.shift() ?? [])
    const clock = hastyClock(() => rmSync(link, { force: true }))
    const request = { ...requestFor(data.dataDirectory), readTablespaces }
    const found = await scanDataDirectory(request, testContext({ clock }))

    assert.deepEqual(found.tablespaces, [])
    assert.deepEqual([...found.rootPaths.keys()], [0])
    assert.deepEqual(answers, [])
  })

  test('keeps waiting for no more than some seconds, also when only the link is gone', async () => {
    using data = tree('PG_VERSION', 'pg_tblspc/')
    const readTablespaces = listing({ oid: 100, name: 'lost' })

    await assert.rejects(scan(data.dataDirectory, { readTablespaces }), /there is no link to it/)
  })

  test('stops at a symbolic link, follows it or keeps it, as the policy says (R15)', async () => {
    using data = tree('PG_VERSION')
    const elsewhere = join(data.root, 'log')
    mkdirSync(elsewhere)
    writeFileSync(join(elsewhere, 'today'), 'x')
    symlinkSync('../log', join(data.dataDirectory, 'pg_log'))
    symlinkSync(join(elsewhere, 'today'), join(data.dataDirectory, 'latest'))

    await assert.rejects(scan(data.dataDirectory), (error) => isOperationError(error, 'link-refused'))
    const followed = await scan(data.dataDirectory, { links: 'follow' })
    assert.deepEqual(filesOf(followed), ['PG_VERSION', 'latest', 'pg_log/today'])
    const kept = await scan(data.dataDirectory, { links: 'as-link' })
    assert.deepEqual(filesOf(kept), ['PG_VERSION'])
    const targets = new Map(kept.links.map(({ path, target }) => [path, target]))
    assert.deepEqual(
      targets,
      new Map([
        ['latest', join(elsewhere, 'today')],
        ['pg_log', '../log'],
      ]),
    )
  })

  test('refuses links that lead in circles or nowhere', async () => {
    using circle = tree('PG_VERSION', 'folder/')
    symlinkSync('.', join(circle.dataDirectory, 'folder', 'again'))
    using nowhere = tree('PG_VERSION')
    symlinkSync('missing', join(nowhere.dataDirectory, 'link'))

    for (const { dataDirectory } of [circle, nowhere]) {
      await assert.rejects(scan(dataDirectory, { links: 'follow' }), (error) =>
        isOperationError(error, 'file-unreadable'),
      )
    }
  })

  test('takes pg_wal as an empty directory also when it is a link', async () => {
    using data = tree('PG_VERSION')
    const wal = join(data.root, 'wal')
    mkdirSync(join(wal, 'archive_status'), { recursive: true })
    writeFileSync(join(wal, '000000010000000000000001'), 'x')
    symlinkSync(wal, join(data.dataDirectory, 'pg_wal'))
    const found = await scan(data.dataDirectory)

    assert.deepEqual(filesOf(found), ['PG_VERSION'])
    assert.deepEqual(foldersOf(found), ['', 'pg_wal', 'pg_wal/archive_status'])
  })
})
