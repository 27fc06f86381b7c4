import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  mkdir,
  mkdtemp,
  readFile,
  readdir,
  rename,
  rm,
  stat,
  symlink,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { collect, describeStoreContract } from '../../../test/support/store-contract.ts'
import type { OperationErrorCode } from '../../domain/operation-error.ts'
import { systemClock } from '../../platform/system-clock.ts'
import type { ObjectStore } from '../object-store.ts'
import { createPosixStore, openPosixStore } from './posix-store.ts'

describeStoreContract('the posix store', makeStore)

describe('the posix store', () => {
  test('is where its location says', async () => {
    await using fixture = await makeStore()

    assert.equal(fixture.store.location, `posix:${fixture.path}`)
  })

  test('keeps every object in a file of the same path', async () => {
    await using fixture = await makeStore()

    await fixture.store.putIfAbsent('a/b/c', bytes)

    assert.deepEqual(new Uint8Array(await readFile(join(fixture.path, 'a/b/c'))), bytes)
  })

  test('lets nobody else read, whatever the umask is', async () => {
    await using fixture = await makeStore()

    await fixture.store.putIfAbsent('a/b', bytes)

    assert.deepEqual(
      await modesOf(fixture.path, ['', '.tmp', '.holdfast-store', 'a', 'a/b']),
      [0o700, 0o700, 0o600, 0o700, 0o600],
    )
  })

  test('lets the group read when it is told to', async () => {
    await using folder = await makeFolder()
    const path = join(folder.path, 'store')
    const store = await createPosixStore(path, { access: 'write', isGroupReadable: true }, context)

    await store.putIfAbsent('a/b', bytes)

    assert.deepEqual(
      await modesOf(path, ['', '.tmp', '.holdfast-store', 'a', 'a/b']),
      [0o750, 0o750, 0o640, 0o750, 0o640],
    )
  })

  test('leaves no temporary file behind (U6)', async () => {
    await using fixture = await makeStore()

    await fixture.store.putIfAbsent('a/b', bytes)
    await fixture.store.putIfAbsent('a/b', bytes)

    assert.deepEqual(await readdir(join(fixture.path, '.tmp')), [])
  })

  test('removes folders that deletion has emptied', async () => {
    await using fixture = await makeStore()
    await fixture.store.putIfAbsent('a/b/c/d', bytes)
    await fixture.store.putIfAbsent('a/e', bytes)

    await fixture.store.delete(['a/b/c/d'])

    assert.deepEqual(await readdir(join(fixture.path, 'a')), ['e'])
  })

  test('passes over names that are not ours', async () => {
    await using fixture = await makeStore()
    await mkdir(join(fixture.path, 'lost+found'))
    await mkdir(join(fixture.path, '.snapshot/a'), { recursive: true })
    await writeFile(join(fixture.path, '.nfs0001'), '')

    assert.deepEqual(await collect(fixture.store.list('')), [])
  })

  test('calls a file damaged that is larger than an object can be', async () => {
    await using fixture = await makeStore()
    await writeFile(join(fixture.path, 'large'), '')
    await truncate(join(fixture.path, 'large'), 2 ** 40)

    await assert.rejects(fixture.store.get('large'), hasCode('damaged'))
  })

  test('fails when one key is the folder of another', async () => {
    await using fixture = await makeStore()
    await fixture.store.putIfAbsent('a/b', bytes)

    await assert.rejects(fixture.store.putIfAbsent('a', bytes), hasCode('store-failed'))
    await assert.rejects(fixture.store.putIfAbsent('a/b/c', bytes), hasCode('path-unsafe'))
  })
})

describe('a posix store with links in it (R76)', () => {
  test('neither reads nor writes through a folder that is a link', async () => {
    await using fixture = await makeStore()
    await mkdir(join(fixture.path, '../outside'))
    await writeFile(join(fixture.path, '../outside/secret'), 'secret')
    await symlink('../outside', join(fixture.path, 'linked'))

    await assert.rejects(fixture.store.get('linked/secret'), hasCode('path-unsafe'))
    await assert.rejects(fixture.store.head('linked/secret'), hasCode('path-unsafe'))
    await assert.rejects(fixture.store.putIfAbsent('linked/new', bytes), hasCode('path-unsafe'))
    await assert.rejects(fixture.store.putIfAbsent('linked/sub/new', bytes), hasCode('path-unsafe'))
    await assert.rejects(fixture.store.delete(['linked/secret']), hasCode('path-unsafe'))
    await assert.rejects(collect(fixture.store.list('')), hasCode('path-unsafe'))
    await assert.rejects(collect(fixture.store.list('linked/')), hasCode('path-unsafe'))

    assert.deepEqual(await readdir(join(fixture.path, '../outside')), ['secret'])
  })

  test('does not call absent what lies behind a dangling link', async () => {
    await using fixture = await makeStore()
    await symlink('/no/such/disk', join(fixture.path, 'wal'))

    await assert.rejects(fixture.store.get('wal/segment'), hasCode('path-unsafe'))
    await assert.rejects(fixture.store.head('wal/segment'), hasCode('path-unsafe'))
  })

  test('neither reads, nor overwrites, nor calls an object what is a link', async () => {
    await using fixture = await makeStore()
    await writeFile(join(fixture.path, '../secret'), 'secret')
    await symlink('../secret', join(fixture.path, 'linked'))

    await assert.rejects(fixture.store.get('linked'), hasCode('path-unsafe'))
    await assert.rejects(fixture.store.head('linked'), hasCode('path-unsafe'))
    await assert.rejects(fixture.store.putIfAbsent('linked', bytes), hasCode('store-failed'))
    await assert.rejects(collect(fixture.store.list('')), hasCode('path-unsafe'))

    assert.equal(await readFile(join(fixture.path, '../secret'), 'utf8'), 'secret')
  })

  test('does not wait for a FIFO', async () => {
    await using fixture = await makeStore()
    execFileSync('/usr/bin/mkfifo', [join(fixture.path, 'fifo')])

    await assert.rejects(fixture.store.get('fifo'), hasCode('path-unsafe'))
  })

  test('may itself be reached through one', async () => {
    await using fixture = await makeStore()
    await symlink(fixture.path, join(fixture.path, '../link'))
    const store = await openPosixStore(join(fixture.path, '../link'), { access: 'write' }, context)

    await store.putIfAbsent('a/b', bytes)

    assert.deepEqual(await fixture.store.get('a/b'), bytes)
  })
})

describe('a posix store that is not where it was', () => {
  test('is unreachable, not empty, when its directory is gone', async () => {
    await using fixture = await makeStore()
    await rename(fixture.path, `${fixture.path}-elsewhere`)

    await assertUnreachable(fixture.store)
    await assert.rejects(stat(fixture.path), { code: 'ENOENT' })
  })

  test('is unreachable, not empty, when an empty mount point is left of it', async () => {
    await using fixture = await makeStore()
    await rename(fixture.path, `${fixture.path}-elsewhere`)
    await mkdir(fixture.path)

    await assertUnreachable(fixture.store)
    assert.deepEqual(await readdir(fixture.path), [])
  })

  test('is unreachable when a file is in its place', async () => {
    await using fixture = await makeStore()
    await rename(fixture.path, `${fixture.path}-elsewhere`)
    await writeFile(fixture.path, '')

    await assertUnreachable(fixture.store)
  })

  test('can be used again when it is back', async () => {
    await using fixture = await makeStore()
    await fixture.store.putIfAbsent('a', bytes)
    await rename(fixture.path, `${fixture.path}-elsewhere`)
    await assertUnreachable(fixture.store)

    await rename(`${fixture.path}-elsewhere`, fixture.path)

    assert.deepEqual(await fixture.store.get('a'), bytes)
  })
})

describe('createPosixStore', () => {
  test('creates the directories above, and opens what it created before', async () => {
    await using folder = await makeFolder()
    const path = join(folder.path, 'a/b/store')
    await using first = await createPosixStore(path, { access: 'write' }, context)
    await first.putIfAbsent('a', bytes)

    await using second = await createPosixStore(path, { access: 'write' }, context)

    assert.deepEqual(await second.get('a'), bytes)
  })

  test('finishes a creation that was interrupted, on a fresh mount point too (P1)', async () => {
    await using folder = await makeFolder()
    await mkdir(join(folder.path, '.tmp'))
    await mkdir(join(folder.path, 'lost+found'))
    await writeFile(join(folder.path, '.tmp/0123456789abcdef0123456789abcdef'), 'ho')

    await using store = await createPosixStore(folder.path, { access: 'write' }, context)

    assert.equal(await store.putIfAbsent('a', bytes), 'created')
  })

  test('refuses a directory with anything else in it, and leaves it as it is', async () => {
    await using folder = await makeFolder()
    await writeFile(join(folder.path, 'photos'), '')

    await assert.rejects(
      createPosixStore(folder.path, { access: 'write' }, context),
      hasCode('repository-foreign'),
    )

    assert.deepEqual(await readdir(folder.path), ['photos'])
  })

  test('lets 10 creators race', async () => {
    await using folder = await makeFolder()
    const path = join(folder.path, 'a/store')

    const stores = await Promise.all(
      Array.from({ length: 10 }, () => createPosixStore(path, { access: 'write' }, context)),
    )

    const answers = await Promise.all(stores.map((store) => store.putIfAbsent('a/b', bytes)))
    assert.equal(answers.filter((answer) => answer === 'created').length, 1)
  })
})

describe('openPosixStore', () => {
  test('never creates', async () => {
    await using folder = await makeFolder()

    for (const path of [folder.path, join(folder.path, 'absent')]) {
      await assert.rejects(openPosixStore(path, { access: 'write' }, context), hasCode('store-unreachable'))
    }

    assert.deepEqual(await readdir(folder.path), [])
  })

  test('refuses a layout that it does not know (R69)', async () => {
    await using fixture = await makeStore()
    await writeFile(join(fixture.path, '.holdfast-store'), 'holdfast object store, layout 2\n')

    await assert.rejects(openPosixStore(fixture.path, { access: 'read' }, context), hasCode('format-newer'))
  })

  test('removes temporary files after a day, and nothing else', async () => {
    await using fixture = await makeStore()
    const names = { old: '0'.repeat(32), fresh: '1'.repeat(32), foreign: 'notes' }
    for (const name of Object.values(names)) await writeFile(join(fixture.path, '.tmp', name), '')
    const longAgo = new Date(systemClock.now() - 25 * 3_600_000)
    await utimes(join(fixture.path, '.tmp', names.old), longAgo, longAgo)
    await utimes(join(fixture.path, '.tmp', names.foreign), longAgo, longAgo)

    await openPosixStore(fixture.path, { access: 'read' }, context)
    assert.equal((await readdir(join(fixture.path, '.tmp'))).length, 3)
    await openPosixStore(fixture.path, { access: 'write' }, context)

    assert.deepEqual((await readdir(join(fixture.path, '.tmp'))).toSorted(), [names.fresh, names.foreign])
  })

  test('takes writing to a store opened for reading for a bug', async () => {
    await using fixture = await makeStore()
    await using store = await openPosixStore(fixture.path, { access: 'read' }, context)

    await assert.rejects(store.putIfAbsent('a', bytes), assert.AssertionError)
    await assert.rejects(store.delete(['a']), assert.AssertionError)
  })

  test('says what to do when the folder for temporary files is missing', async () => {
    await using fixture = await makeStore()
    await rm(join(fixture.path, '.tmp'), { recursive: true })

    await assert.rejects(fixture.store.putIfAbsent('a/b', bytes), hasCode('store-failed'))

    assert.deepEqual(await readdir(fixture.path), ['.holdfast-store', '.reserve'])
  })
})

const bytes = Uint8Array.of(1, 2, 3)
const context = { clock: systemClock, signal: new AbortController().signal }

interface Folder extends AsyncDisposable {
  readonly path: string
}

async function makeFolder(): Promise<Folder> {
  const path = await mkdtemp(join(tmpdir(), 'holdfast-store-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}

async function makeStore(): Promise<Folder & { readonly store: ObjectStore }> {
  const folder = await makeFolder()
  const path = join(folder.path, 'store')
  const store = await createPosixStore(path, { access: 'write' }, context)
  return { path, store, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() }
}

function modesOf(path: string, names: readonly string[]): Promise<number[]> {
  return Promise.all(names.map(async (name) => (await stat(join(path, name))).mode & 0o777))
}

async function assertUnreachable(store: ObjectStore): Promise<void> {
  const unreachable = hasCode('store-unreachable')
  await assert.rejects(store.get('a'), unreachable)
  await assert.rejects(store.head('a/b'), unreachable)
  await assert.rejects(store.putIfAbsent('a/b', bytes), unreachable)
  await assert.rejects(store.delete(['a/b']), unreachable)
  await assert.rejects(collect(store.list('')), unreachable)
}

function hasCode(code: OperationErrorCode): { code: OperationErrorCode } {
  return { code }
}
