import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { constants } from 'node:fs'
import { open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { isOperationError } from '../../domain/operation-error.ts'
import { allocatePages } from '../../platform/page-memory.ts'
import { systemClock } from '../../platform/system-clock.ts'
import type { ObjectStore } from '../object-store.ts'
import { createPosixStore, openPosixStore } from './posix-store.ts'
import { makeSmallDisk as makeDisk, mount, mountTmpfs } from '../../../test/support/small-disk.ts'

describe('a posix store on a full disk (S1)', () => {
  test('says so, and stores all or nothing', async () => {
    await using disk = await makeDisk('size=12m')
    const { store } = disk

    const stored = await fill(store, 3_000_000)

    assert.equal(stored.length, 2)
    assert.deepEqual(await keysOf(store), stored)
    for (const key of stored) assert.equal((await store.get(key))?.length, 3_000_000)
    assert.deepEqual(await readdir(join(disk.path, '.tmp')), [])
    assert.equal(await store.putIfAbsent('small', new Uint8Array(1000)), 'created')
  })

  test('says so when what it stores lies in memory that could be written past the page cache', async () => {
    await using disk = await makeDisk('size=12m')
    const pack = new Uint8Array(allocatePages(3_000_000), 0, 3_000_000).fill(7)

    assert.equal(await disk.store.putIfAbsent('a', pack), 'created')
    assert.equal(await disk.store.putIfAbsent('b', pack), 'created')
    await assert.rejects(disk.store.putIfAbsent('c', pack), { code: 'no-space' })

    assert.deepEqual(await keysOf(disk.store), ['a', 'b'])
    assert.deepEqual(Buffer.from((await disk.store.get('b')) ?? []), Buffer.from(pack))
    assert.deepEqual(await readdir(join(disk.path, '.tmp')), [])
  })

  test('deletes, and can then store again', async () => {
    await using disk = await makeDisk('size=12m')
    const { store } = disk
    const stored = await fill(store, 1_000_000)
    await fill(store, 4096, 'rest')

    await store.delete(stored.slice(0, 1))

    assert.equal(await store.putIfAbsent('again', new Uint8Array(900_000)), 'created')
  })

  test('says so too when it is out of inodes', async () => {
    await using disk = await makeDisk('size=12m,nr_inodes=40')
    const { store } = disk

    const stored = await fill(store, 1)

    assert.ok(stored.length > 5)
    await assert.rejects(store.putIfAbsent('some/new/folder/object', new Uint8Array(1)), { code: 'no-space' })
    await store.delete(stored)
    assert.deepEqual(await keysOf(store), [])
  })
})

describe('a posix store that is opened to free space', () => {
  test('still stores what is small on a full disk, and takes its reserve back when there is room (S1)', async () => {
    for (const options of ['size=12m', 'size=64m,nr_inodes=60']) {
      await using disk = await makeDisk(options)
      const stored = await fill(disk.store, options.includes('inodes') ? 1 : 100_000)
      await fill(disk.store, 1, 'rest')
      await assert.rejects(disk.store.putIfAbsent('lease/a', new Uint8Array(500)), { code: 'no-space' })
      {
        await using store = await openPosixStore(disk.path, { access: 'write', usesReserve: true }, context)
        assert.equal(await store.putIfAbsent('lease/a', new Uint8Array(500)), 'created')
        assert.deepEqual(await readdir(join(disk.path, '.reserve')), [])
        await store.delete(stored)
      }

      assert.equal((await readdir(join(disk.path, '.reserve'))).length, 8)
      assert.ok((await keysOf(disk.store)).includes('lease/a'))
    }
  })
})

describe('a posix store on a disk that changes', () => {
  test('refuses to write when it became read-only, and still reads (S8)', async () => {
    await using disk = await makeDisk('size=12m')
    await disk.store.putIfAbsent('a/b', new Uint8Array(10))
    mount('-o', 'remount,ro', disk.path)

    await assert.rejects(disk.store.putIfAbsent('a/c', new Uint8Array(10)), {
      code: 'store-failed',
      message: `storing object "a/c" of "posix:${disk.path}": read-only file system (EROFS)`,
    })
    await assert.rejects(disk.store.delete(['a/b']), { code: 'store-failed' })

    assert.deepEqual(await keysOf(disk.store), ['a/b'])
  })

  test('is unreachable, not empty, while it is not mounted, and holds no unmounting up', async () => {
    await using disk = await makeDisk('size=12m')
    await disk.store.putIfAbsent('a/b', new Uint8Array(10))
    execFileSync('/bin/umount', [disk.path])

    await assert.rejects(disk.store.get('a/b'), { code: 'store-unreachable' })
    await assert.rejects(disk.store.head('a/b'), { code: 'store-unreachable' })
    await assert.rejects(disk.store.putIfAbsent('a/c', new Uint8Array(10)), { code: 'store-unreachable' })
    await assert.rejects(keysOf(disk.store), { code: 'store-unreachable' })

    assert.deepEqual(await readdir(disk.path), [])
  })

  test('refuses to spread over two file systems', async () => {
    await using disk = await makeDisk('size=12m')
    await disk.store.putIfAbsent('wal/a', new Uint8Array(10))
    await using second = await mountTmpfs(join(disk.path, 'wal'), 'size=1m')

    await assert.rejects(disk.store.putIfAbsent('wal/b', new Uint8Array(10)), {
      code: 'store-failed',
      hint: /one file system/,
    })

    assert.deepEqual(await readdir(second.path), [])
  })
})

describe('a posix store on a file system that has nothing but the page cache', () => {
  test('stores whatever memory it lies in', async () => {
    await using disk = await makeDisk('size=12m')
    execFileSync('/bin/umount', [disk.path])
    mount('-t', 'ramfs', 'ramfs', disk.path)
    await assert.rejects(open(disk.path, constants.O_RDONLY | constants.O_DIRECT), { code: 'EINVAL' })
    await using store = await createPosixStore(disk.path, { access: 'write' }, context)
    const pack = new Uint8Array(allocatePages(3_000_000), 0, 3_000_000).fill(7)

    assert.equal(await store.putIfAbsent('a', pack), 'created')

    assert.deepEqual(Buffer.from((await store.get('a')) ?? []), Buffer.from(pack))
    assert.deepEqual(await readdir(join(disk.path, '.tmp')), [])
  })
})

const context = { clock: systemClock, signal: new AbortController().signal }

/** Stores objects until the disk is full; gives the keys of those that were stored. */
async function fill(store: ObjectStore, sizeBytes: number, prefix = 'fill'): Promise<string[]> {
  const stored: string[] = []
  for (;;) {
    const key = `${prefix}/${String(stored.length).padStart(5, '0')}`
    try {
      await store.putIfAbsent(key, new Uint8Array(sizeBytes))
      stored.push(key)
    } catch (error) {
      if (!isOperationError(error, 'no-space')) throw error
      return stored
    }
  }
}

async function keysOf(store: ObjectStore): Promise<string[]> {
  const keys: string[] = []
  for await (const { key } of store.list('')) keys.push(key)
  return keys
}
