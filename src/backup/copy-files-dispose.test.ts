import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { toBytePath } from '../platform/byte-path.ts'
import { createPlace, recordingContext } from '../../test/support/archive-fixture.ts'
import { parseBackupLabel } from '../domain/backup-label.ts'
import { systemClock } from '../platform/system-clock.ts'
import { packPrefix } from '../repository/object-keys.ts'
import { MemoryStore } from '../storage/memory/memory-store.ts'
import { buffersPerWorker, FileCopier } from './copy-files.ts'
import type { CopyTask } from './copy-task.ts'
import { type Scan } from './scan.ts'

const taskBytes = 4 * 1024 * 1024
const label = parseBackupLabel('20260220-153000F')

describe('FileCopier, when it is disposed of while it stores a pack', () => {
  test('waits for a store that cannot be stopped: nothing appears later (R65)', async () => {
    using folder = sourceFolder()
    const store = new MemoryStore('slow', systemClock)
    const stored = interceptPut(store, async (put) => {
      await sleep(300)
      await put()
    })
    const { copier, keys } = await openCopier(store, folder.path)

    await assert.rejects(copier.run([...enoughForPack(), unreadable].values(), ignore), {
      code: 'file-unreadable',
    })
    assert.deepEqual(await keys(), [], 'the pack is still being stored')
    await copier[Symbol.asyncDispose]()

    const atDisposal = await keys()
    await stored
    assert.deepEqual(atDisposal, await keys())
    assert.equal(atDisposal.length, 1)
  })

  test('stops a store that can be stopped, and does not wait for what it would take', async () => {
    using folder = sourceFolder()
    const store = new MemoryStore('stuck', systemClock)
    const stuck = new AbortController()
    void interceptPut(store, async (_, signal) => {
      await once(AbortSignal.any([signal, stuck.signal]), 'abort')
      throw signal.reason
    }).catch(ignore)
    const { copier, keys } = await openCopier(store, folder.path)
    await copier.run(enoughForPack().values(), ignore)

    const disposed = copier[Symbol.asyncDispose]().then(() => 'disposed')
    const answer = await Promise.race([disposed, sleep(5000, 'still waiting', { ref: false })])

    stuck.abort()
    assert.equal(answer, 'disposed')
    assert.deepEqual(await keys(), [])
  })

  test('ends a worker that waits for the memory of that pack', async () => {
    using folder = sourceFolder()
    const store = new MemoryStore('stuck', systemClock)
    const stuck = new AbortController()
    void interceptPut(store, async (_, signal) => {
      await once(AbortSignal.any([signal, stuck.signal]), 'abort')
      throw signal.reason
    }).catch(ignore)
    const { copier, keys } = await openCopier(store, folder.path)
    const tasks = moreThanItsMemory()
    const running = assert.rejects(copier.run(tasks.values(), ignore), { code: 'cancelled' })
    await sleep(500)

    await copier[Symbol.asyncDispose]()

    stuck.abort()
    await running
    assert.deepEqual(await keys(), [])
  })
})

describe('FileCopier, when a pack cannot be stored', () => {
  test('fails with the reason, also when its worker waits for the memory of that pack', async () => {
    using folder = sourceFolder()
    const store = new MemoryStore('full', systemClock)
    void interceptPut(store, async () => {
      await sleep(500)
      throw new Error('the disk is full')
    }).catch(ignore)
    const { copier } = await openCopier(store, folder.path)
    const tasks = moreThanItsMemory()

    await assert.rejects(copier.run(tasks.values(), ignore), { message: 'the disk is full' })

    await copier[Symbol.asyncDispose]()
  })
})

const ignore = (): void => undefined

/** Has `intercept` stand in the way of the first pack that is put. Settles when that is through. */
async function interceptPut(
  store: MemoryStore,
  intercept: (put: () => Promise<unknown>, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const put = store.putIfAbsent.bind(store)
  const through = Promise.withResolvers<undefined>()
  store.putIfAbsent = async (key, bytes, options) => {
    if (!key.includes(`/data/`)) return put(key, bytes, options)
    const intercepted = intercept(() => put(key, bytes), options?.signal ?? assert.fail('no signal'))
    intercepted.then(() => through.resolve(undefined), through.reject)
    await intercepted
    return 'created'
  }
  await through.promise
}

function sourceFolder(): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), 'hf-copy-'))
  symlinkSync('/etc/hostname', join(path, 'bad')) // a link where a file was scanned is not followed
  writeFileSync(join(path, 'good'), randomBytes(taskBytes))
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true }) }
}

const taskOf = (path: string): CopyTask => ({
  slices: [
    {
      file: 0,
      root: 0,
      path,
      offset: 0,
      length: taskBytes,
      firstBlock: undefined,
      isFollowed: false,
      readsToEnd: false,
    },
  ],
  bytes: taskBytes,
})
const unreadable = taskOf('bad')
/** Two fill a pack, for they cannot be compressed: its store has begun, and the worker need not wait for it yet. */
const enoughForPack = (): readonly CopyTask[] => [taskOf('good'), taskOf('good')]
const moreThanItsMemory = (): readonly CopyTask[] =>
  Array.from({ length: buffersPerWorker + 1 }, enoughForPack).flat()

async function openCopier(
  store: MemoryStore,
  folder: string,
): Promise<{ copier: FileCopier; keys: () => Promise<readonly string[]> }> {
  const { repository, cluster } = await createPlace({ store })
  const scan: Scan = {
    directories: [],
    files: [],
    links: [],
    tablespaces: [],
    rootPaths: new Map([[0, toBytePath(Buffer.from(folder))]]),
    owners: [],
    totalBytes: 0,
  }
  const options = {
    clusterId: cluster.id,
    label,
    workers: 1,
    compressionLevel: 1,
    maxRate: undefined,
    audit: undefined,
  }
  const copier = new FileCopier({ repository, scan, options }, recordingContext())
  const keys = async (): Promise<readonly string[]> => {
    const found: string[] = []
    for await (const { key } of store.list(packPrefix(cluster.id, label))) found.push(key)
    return found
  }
  return { copier, keys }
}
