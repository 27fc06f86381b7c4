import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { isOperationError, type OperationErrorCode } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { crc32c } from '../platform/crc32c.ts'
import { systemClock } from '../platform/system-clock.ts'
import { controlFileBytes } from '../postgres/control-file.ts'
import { inspectTarget, type RestorePlace, type TargetRequest } from './inspect-target.ts'
import { findPostmaster } from './postmaster-file.ts'
import { markerFile } from './restore-marker.ts'

const context: RunContext = {
  signal: new AbortController().signal,
  clock: systemClock,
  report: () => undefined,
}

describe('inspectTarget', () => {
  test('takes an absent and an empty directory', async () => {
    using scratch = makeScratch()
    mkdirSync(join(scratch.folder, 'empty'))

    assert.deepEqual(await states(scratch, { targetDirectory: join(scratch.folder, 'a', 'b') }), ['vacant'])
    assert.deepEqual(await states(scratch, { targetDirectory: join(scratch.folder, 'empty') }), ['vacant'])
  })

  test('takes what a dead restore of the same cluster left, even one that had just begun (R47)', async () => {
    using scratch = makeScratch()
    const dead = { host: 'h', bootId: 'b', pidNamespace: 'p', pid: 1, startTicks: '1' }
    const left = join(scratch.folder, 'left')
    mkdirSync(left)
    writeFileSync(join(left, `.holdfast-${'0'.repeat(32)}.tmp`), '{')
    assert.deepEqual(await states(scratch, { targetDirectory: left }), ['interrupted'])
    writeFileSync(join(left, markerFile), JSON.stringify({ systemIdentifier: '7', holder: undefined }))
    assert.deepEqual(await states(scratch, { targetDirectory: left }), ['interrupted'])

    await refuses(scratch, { targetDirectory: left, systemIdentifier: '8' }, 'directory-occupied')
    writeFileSync(join(left, markerFile), JSON.stringify({ systemIdentifier: '7', holder: dead }))
    await refuses(scratch, { targetDirectory: left }, 'busy') // from another host nothing is certain
  })

  test('refuses a directory that holds anything else, also with delta when it is no copy (R59)', async () => {
    using scratch = makeScratch()
    writeFileSync(join(scratch.folder, 'file'), '')

    await refuses(scratch, { targetDirectory: scratch.folder }, 'directory-occupied')
    await refuses(scratch, { targetDirectory: scratch.folder, isDelta: true }, 'directory-occupied')
    await refuses(scratch, { targetDirectory: join(scratch.folder, 'file') }, 'directory-occupied')
  })

  test('refuses paths that are not what they say, and places that must not be touched (R59)', async () => {
    using scratch = makeScratch()
    mkdirSync(join(scratch.folder, 'real'))
    symlinkSync(join(scratch.folder, 'real'), join(scratch.folder, 'link'))
    const forbidden = { repository: join(scratch.folder, 'repository'), home: join(scratch.folder, 'real') }

    for (const name of ['link', 'link/x', 'real', 'repository', 'repository/x']) {
      await refuses(scratch, { targetDirectory: join(scratch.folder, name), forbidden }, 'path-unsafe')
    }
    await refuses(scratch, { targetDirectory: scratch.folder, forbidden }, 'path-unsafe')
    for (const targetDirectory of ['/', 'relative', '/a/../b', '/proc']) {
      await refuses(scratch, { targetDirectory }, 'path-unsafe')
    }
  })

  test('refuses tablespaces over live ones, inside each other, or not there (R14)', async () => {
    using scratch = makeScratch()
    const live = join(scratch.folder, 'live')
    mkdirSync(live)
    writeFileSync(join(live, 'PG_17'), '')
    const targetDirectory = join(scratch.folder, 'data')
    const tablespaces = [{ oid: 16_400, name: 'side', location: live }]
    const base = { targetDirectory, tablespaces }
    const map = (tablespace: string, directory: string): Partial<TargetRequest> => ({
      ...base,
      tablespaceMap: [{ tablespace, directory }],
    })

    await refuses(scratch, base, 'directory-occupied')
    await refuses(scratch, map('side', join(targetDirectory, 'inside')), 'path-unsafe')
    await refuses(scratch, map('other', '/x'), 'usage')
    assert.deepEqual(await states(scratch, map('16400', join(scratch.folder, 'moved'))), ['vacant', 'vacant'])
    assert.deepEqual(await states(scratch, map('side', join(scratch.folder, 'moved'))), ['vacant', 'vacant'])
  })

  test('takes up a tablespace only where its own data directory is to be taken up as well (R14, R47)', async () => {
    using scratch = makeScratch()
    const [data, other, space] = ['data', 'other', 'space'].map((name) => join(scratch.folder, name))
    assert.ok(data !== undefined && other !== undefined && space !== undefined)
    for (const folder of [data, other, space]) mkdirSync(folder)
    const request = { targetDirectory: data, tablespaces: [{ oid: 16_400, name: 'side', location: space }] }
    writeFileSync(join(space, markerFile), JSON.stringify({ systemIdentifier: '7', dataDirectory: data }))

    // The cluster there was finished and removed, or it is a server's that runs elsewhere.
    await refuses(scratch, request, 'directory-occupied')
    for (const folder of [data, other])
      writeFileSync(join(folder, markerFile), JSON.stringify({ systemIdentifier: '7' }))
    assert.deepEqual(await states(scratch, request), ['interrupted', 'interrupted'])
    await refuses(scratch, { ...request, targetDirectory: other }, 'directory-occupied')
    writeFileSync(join(space, markerFile), JSON.stringify({ systemIdentifier: '7' }))
    await refuses(scratch, request, 'directory-occupied')
  })

  test('does not take up a cluster that recovers from a crash long after its promotion (R59)', async () => {
    using scratch = makeScratch()
    writeFileSync(join(scratch.folder, markerFile), JSON.stringify({ systemIdentifier: '7' }))
    mkdirSync(join(scratch.folder, 'global'))
    writeFileSync(join(scratch.folder, 'global', 'pg_control'), recoveringControlFile('7'))

    await refuses(scratch, { targetDirectory: scratch.folder }, 'directory-occupied')
    writeFileSync(join(scratch.folder, 'recovery.signal'), '')
    assert.deepEqual(await states(scratch, { targetDirectory: scratch.folder }), ['interrupted'])
  })

  test('takes up what was promoted only for the same restore, to complete it (R44, R59)', async () => {
    using scratch = makeScratch()
    const targetDirectory = scratch.folder
    const recovered = { goal: 'latest', lsn: '0/3000028' }
    writeFileSync(join(targetDirectory, markerFile), JSON.stringify({ systemIdentifier: '7', recovered }))
    mkdirSync(join(targetDirectory, 'global'))
    writeFileSync(join(targetDirectory, 'global', 'pg_control'), recoveringControlFile('7'))

    assert.deepEqual(await states(scratch, { targetDirectory, goal: 'latest' }), ['recovered'])
    assert.deepEqual(await states(scratch, { targetDirectory, goal: 'latest', isDelta: true }), ['occupied'])
    await refuses(scratch, { targetDirectory, goal: 'another' }, 'directory-occupied')
    await refuses(scratch, { targetDirectory }, 'directory-occupied')
    await refuses(scratch, { targetDirectory, goal: 'latest', systemIdentifier: '8' }, 'directory-occupied')
    writeFileSync(join(targetDirectory, 'recovery.signal'), '')
    assert.deepEqual(await states(scratch, { targetDirectory, goal: 'latest' }), ['interrupted'])
  })

  test('sees a server whose directory has another path (R59)', async () => {
    using scratch = makeScratch()
    const seen = join(scratch.folder, 'seen')
    mkdirSync(seen)
    writeFileSync(join(seen, 'postmaster.pid'), `${process.pid}\n`)
    const workingDirectory = process.cwd()
    process.chdir(seen)
    try {
      // /proc/self/root is another path to the same directory, as a bind mount would be.
      const found = await findPostmaster(join('/proc/self/root', seen))
      assert.equal(found?.pid, process.pid)
    } finally {
      process.chdir(workingDirectory)
    }
    assert.equal(await findPostmaster(seen), undefined)
  })

  test('tells where pg_wal leads to that will be a directory', async () => {
    using scratch = makeScratch()
    writeFileSync(join(scratch.folder, markerFile), JSON.stringify({ systemIdentifier: '7' }))
    assert.equal((await inspect(scratch, {}))[0]?.walLink, undefined)
    symlinkSync('/mnt/wal', join(scratch.folder, 'pg_wal'))
    assert.equal((await inspect(scratch, {}))[0]?.walLink, '/mnt/wal')
  })

  test('refuses a directory that a server stands in', async () => {
    using scratch = makeScratch()
    writeFileSync(join(scratch.folder, 'postmaster.pid'), `${process.pid}\n`)
    const workingDirectory = process.cwd()
    process.chdir(scratch.folder)
    try {
      await refuses(scratch, { targetDirectory: scratch.folder, isDelta: true }, 'server-running')
    } finally {
      process.chdir(workingDirectory)
    }
    // The number has gone to somebody else since.
    await refuses(scratch, { targetDirectory: scratch.folder }, 'directory-occupied')
  })
})

/** As src/postgres/control-file.test.ts makes it. */
function recoveringControlFile(systemIdentifier: string): Buffer {
  const bytes = Buffer.alloc(controlFileBytes)
  bytes.writeBigUInt64LE(BigInt(systemIdentifier), 0)
  bytes.writeUInt32LE(1300, 8)
  bytes.writeUInt32LE(4, 16) // in crash recovery
  bytes.writeBigUInt64LE(0x0150_0028n, 32)
  bytes.writeUInt32LE(3, 48)
  bytes.writeUInt32LE(3, 52)
  bytes.writeDoubleLE(1_234_567, 208)
  bytes.writeUInt32LE(crc32c(bytes.subarray(0, 288)) >>> 0, 288)
  return bytes
}

interface Place extends Disposable {
  readonly folder: string
}

function makeScratch(): Place {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'hf-target-')))
  return { folder, [Symbol.dispose]: () => rmSync(folder, { recursive: true }) }
}

function inspect({ folder }: Place, changes: Partial<TargetRequest>): Promise<readonly RestorePlace[]> {
  const request: TargetRequest = {
    targetDirectory: folder,
    isDelta: false,
    tablespaceMap: [],
    systemIdentifier: '7',
    tablespaces: [],
    forbidden: { repository: undefined, home: undefined },
    ...changes,
  }
  return inspectTarget(request, context)
}

async function states(place: Place, changes: Partial<TargetRequest>): Promise<readonly string[]> {
  const found = await inspect(place, changes)
  return found.map(({ state }) => state)
}

async function refuses(
  place: Place,
  changes: Partial<TargetRequest>,
  code: OperationErrorCode,
): Promise<void> {
  await assert.rejects(inspect(place, changes), (error) => {
    assert.ok(isOperationError(error, code), String(error))
    return true
  })
}
