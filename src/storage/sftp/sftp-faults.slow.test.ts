import assert from 'node:assert/strict'
import { readdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { isOperationError } from '../../domain/operation-error.ts'
import { systemClock } from '../../platform/system-clock.ts'
import { giveTree } from '../../../test/support/give-tree.ts'
import { testContext } from '../../../test/support/repository.ts'
import { createScratch, type Scratch } from '../../../test/support/scratch.ts'
import { startSftpServer, type SftpServer } from '../../../test/support/sftp-server.ts'
import { collect } from '../../../test/support/store-contract.ts'
import { waitUntil } from '../../../test/support/wait.ts'
import { TcpProxy, type ProxyFault } from '../../../test/support/tcp-proxy.ts'
import type { ObjectStore } from '../object-store.ts'
import type { SftpLocation, SftpStoreOptions } from './sftp-options.ts'
import { openSftpSession } from './sftp-session.ts'
import { createSftpStore } from './sftp-store.ts'
import { readFileRange } from './transfer-file.ts'

const bytes = Uint8Array.from({ length: 600 }, (_, index) => index % 251)
const large = Uint8Array.from({ length: 3_000_000 }, (_, index) => index % 251)
const more = large.subarray(0, 20_000)
/** More than any call of these needs. */
const mostSteps = 1000

for (const { name, without } of [
  { name: 'with hard links', without: [] },
  { name: 'without hard links and syncing', without: ['hardlink', 'fsync'] },
]) {
  describe(`an SFTP store on a server ${name}`, () => {
    let scratch: Scratch
    let server: SftpServer
    let sites = 0
    before(async () => {
      scratch = await createScratch('sftp-faults')
      server = await startSftpServer(scratch, { without })
    })
    after(async () => scratch[Symbol.asyncDispose]())

    /** A store behind a proxy, and the same one without. */
    async function makeSite(changes: Partial<SftpStoreOptions> = {}): Promise<Site & AsyncDisposable> {
      await using opened = new AsyncDisposableStack()
      sites += 1
      const place = server.locationOf(`site-${sites}`)
      const options = { ...server.options, idleTimeoutMs: 400, ...changes }
      const context = {
        ...testContext(),
        policy: { firstWaitMs: 5, longestWaitMs: 20, firstAnswerTimeoutMs: 2000 },
      }
      const direct = opened.use(await createSftpStore(place, server.options, context))
      const proxy = opened.use(await TcpProxy.start(server.port))
      const store = opened.use(await createSftpStore({ ...place, port: proxy.port }, options, context))
      const owned = opened.move()
      return { place, proxy, store, direct, [Symbol.asyncDispose]: () => owned.disposeAsync() }
    }

    for (const side of ['requests', 'answers'] as const) {
      test(`stores an object once, whichever of its ${side} is lost with the connection (N11, N3)`, async () => {
        await using site = await makeSite()

        const struck = await eachFault(site, { side, kind: 'cut' }, async (key) => {
          assert.equal(await site.store.putIfAbsent(key, bytes), 'created')
        })

        assert.ok(struck > 8, `${struck}`)
        for (let index = 0; index <= struck; index++) {
          assert.deepEqual(await site.direct.get(keyOf(index)), bytes)
          assert.equal(await site.store.putIfAbsent(keyOf(index), bytes), 'exists')
        }
        assert.deepEqual(await readdir(join(site.place.path, '.tmp')), [])
      })

      test(`tells one of two with the same bytes that it has stored them, when the second comes while the first has lost any of its ${side} (R23, R24)`, async () => {
        await using site = await makeSite()

        const struck = await eachFault(site, { side, kind: 'cut' }, async (key) => {
          const gate = Promise.withResolvers<void>()
          site.proxy.gate = gate.promise
          let isDone = false
          const first = site.store.putIfAbsent(key, bytes).finally(() => (isDone = true))
          await waitUntil('the fault has struck', () => Promise.resolve(site.proxy.hasStruck || isDone))
          const second = await site.direct.putIfAbsent(key, bytes)
          gate.resolve()
          assert.deepEqual([await first, second].toSorted(), ['created', 'exists'])
        })

        assert.ok(struck > 8, `${struck}`)
      })

      test(`is not taken in by the object of somebody else, whichever of the ${side} is lost (R24)`, async () => {
        await using site = await makeSite()

        await eachFault(site, { side, kind: 'cut' }, async (key) => {
          await site.direct.putIfAbsent(key, bytes)
          assert.equal(await site.store.putIfAbsent(key, bytes), 'exists')
        })
      })

      test(`outlasts a line that goes dead at any of the ${side} of a call (N8, N9)`, async () => {
        await using site = await makeSite({ idleTimeoutMs: 150 })

        const struck = await eachFault(site, { side, kind: 'stall', stepBytes: 100 }, async (key) => {
          assert.equal(await site.store.putIfAbsent(key, bytes), 'created')
          assert.deepEqual(await site.direct.get(key), bytes)
        })

        assert.ok(struck > 5, `${struck}`)
      })

      test(`reads, lists and deletes, whichever of the ${side} is lost with the connection (N9)`, async () => {
        await using site = await makeSite()
        await site.direct.putIfAbsent('kept/more', more)

        const struck = await eachFault(
          site,
          { side, kind: 'cut', stepBytes: side === 'answers' ? 600 : 60 },
          async (key) => {
            await site.direct.putIfAbsent(key, bytes)
            assert.deepEqual(await site.store.get(key), bytes)
            assert.equal(await site.store.get(`${key}-absent`), undefined)
            assert.deepEqual(await site.store.get('kept/more'), more)
            const listed = await collect(site.store.list(''))
            assert.deepEqual(
              listed.map((object) => object.key),
              [key, 'kept/more'],
            )
            await site.store.delete([key])
            assert.equal(await site.direct.head(key), undefined)
          },
        )

        assert.ok(struck > 8, `${struck}`)
      })
    }

    test('stores a large object when the connection is lost in the middle (N11)', async () => {
      await using site = await makeSite()
      site.proxy.plan({ side: 'requests', afterBytes: 1_000_000, kind: 'cut' })

      assert.equal(await site.store.putIfAbsent('large', large), 'created')

      assert.ok(site.proxy.hasStruck)
      assert.deepEqual(await site.direct.get('large'), large)
    })

    test('bears a slow line on which something moves, on one connection (N8)', async () => {
      await using site = await makeSite({ idleTimeoutMs: 5000 })
      site.proxy.line = { delayMs: 2, bytesPerSecond: 200_000 }
      const some = large.subarray(0, 600_000)

      assert.equal(await site.store.putIfAbsent('slow', some), 'created')
      assert.deepEqual(await site.store.get('slow'), some)

      assert.equal(site.proxy.connectionCount, 1)
    })

    test('gives up at its deadline, and says that the server did not answer (N8)', async () => {
      await using site = await makeSite({ callTimeoutMs: 500, idleTimeoutMs: 10_000 })
      site.proxy.plan({ side: 'answers', afterBytes: 0, kind: 'stall' })

      await assert.rejects(site.store.get('key'), (error) => {
        assert.ok(isOperationError(error, 'store-unreachable'))
        assert.match(
          error.message,
          /reading object "key" of "sftp:.*the store did not answer in time, given up after/,
        )
        assert.match(error.hint ?? '', /sftp\.call-timeout/)
        return true
      })
    })

    test('leaves nothing of an object when its caller aborts on a dead line', async () => {
      await using site = await makeSite({ idleTimeoutMs: 10_000 })
      site.proxy.plan({ side: 'answers', afterBytes: 300, kind: 'stall' })
      const controller = new AbortController()
      const reason = new Error('enough')
      setTimeout(() => controller.abort(reason), 100)

      await assert.rejects(
        site.store.putIfAbsent('key', bytes, { signal: controller.signal }),
        (error) => error === reason,
      )

      assert.equal(await site.direct.get('key'), undefined)
    })

    test('names a file that is not as long as it was a moment ago', async () => {
      await using site = await makeSite()
      const path = join(dirname(site.place.path), 'file')
      await writeFile(path, bytes)
      await giveTree(dirname(site.place.path), scratch.user)
      const signal = new AbortController().signal
      const session = await openSftpSession(site.place, {
        clock: systemClock,
        signal,
        options: server.options,
      })

      for (const sizeBytes of [bytes.length - 1, bytes.length + 1]) {
        const read = { path, sizeBytes, range: { offset: 0, length: sizeBytes }, what: 'the file' }
        await assert.rejects(
          readFileRange(session, read, signal),
          /reading the file: expected \d+ bytes as a moment ago, found 600/,
        )
      }
      session.end()
    })
  })
}

interface Site {
  readonly place: SftpLocation
  readonly proxy: TcpProxy
  readonly store: ObjectStore
  readonly direct: ObjectStore
}

const keyOf = (index: number): string => `folder-${index}/key`

/**
 * Calls `act` with a fault after no byte, after some, and so on, until it ends without one. Gives how many struck. The default
 * step is less than the smallest request or answer, so that each of them is hit.
 */
async function eachFault(
  { proxy, store }: Site,
  { stepBytes, ...fault }: Omit<ProxyFault, 'afterBytes'> & { readonly stepBytes?: number },
  act: (key: string) => Promise<void>,
): Promise<number> {
  const step = stepBytes ?? (fault.side === 'answers' ? 32 : 64)
  for (let index = 0; index < mostSteps; index++) {
    await store.head('the/connection/is/there')
    proxy.plan({ ...fault, afterBytes: index * step })
    await act(keyOf(index))
    if (!proxy.hasStruck) return index
  }
  throw new Error(`more than ${mostSteps} steps`)
}
