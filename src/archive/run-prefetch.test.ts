import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import {
  buildSegment,
  createPlace,
  recordingContext,
  temporaryFolder,
} from '../../test/support/archive-fixture.ts'
import { waitUntil } from '../../test/support/wait.ts'
import { classifyArchiveFileName } from '../domain/archive-file-name.ts'
import type { WalSegmentName } from '../domain/wal-segment.ts'
import { readProcessIdentity } from '../platform/process-identity.ts'
import { systemClock } from '../platform/system-clock.ts'
import type { ArchivePlace } from './archive-place.ts'
import { PrefetchFolder } from './prefetch-folder.ts'
import { pushFile } from './push-file.ts'
import { runPrefetch } from './run-prefetch.ts'

describe('runPrefetch', () => {
  test('keeps the next segments there, verified, and goes on as they are taken', async () => {
    await using server = await recoveringServer(['2', '3', '4', '5', '6', '7', '8'])
    const running = server.prefetch('1', 4)

    await server.untilWaiting(['2', '3', '4', '5'])
    await waitUntil('no segment to be announced any more', async () =>
      (await readdir(server.folder.path)).every((name) => !name.startsWith('.coming-')),
    )
    for (const digit of ['2', '3', '4', '5'])
      assert.deepEqual(await readFile(server.pathOf(digit)), buildSegment(segment(digit)))
    await server.take('2')
    await server.take('3')
    await server.untilWaiting(['4', '5', '6', '7'])

    await server.end()
    await running
    assert.deepEqual(await readdir(server.walFolder), [])
  })

  test('leaves no hole behind a segment that comes later', async () => {
    await using server = await recoveringServer(['2', '4', '5'])
    const running = server.prefetch('1', 8)
    await server.untilWaiting(['2', '4', '5'])

    await server.archive('3')
    await server.untilWaiting(['2', '3', '4', '5'])

    await server.end()
    await running
  })

  test('ends, and leaves the folder alone, when another one has taken it over', async () => {
    await using server = await recoveringServer(['2', '3'])
    const running = server.prefetch('1', 4)
    await server.untilWaiting(['2', '3'])

    const other = JSON.stringify({ ...readProcessIdentity(), pidNamespace: 'pid:[another]' })
    await writeFile(join(server.folder.path, '.owner'), other)
    await running

    assert.equal(await readFile(join(server.folder.path, '.owner'), 'utf8'), other)
    assert.equal((await server.folder.waiting()).length, 2)
  })

  test('fetches more at once from a store that is far away', async () => {
    const digits = ['2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F']
    await using server = await recoveringServer(digits)
    let [underWay, most] = [0, 0]
    const { store } = server.place.repository
    const get = store.get.bind(store)
    store.get = async (...request) => {
      most = Math.max(most, ++underWay)
      await systemClock.sleep(200, AbortSignal.timeout(10_000))
      underWay -= 1
      return get(...request)
    }
    const running = server.prefetch('1', 14)

    for (const digit of digits) {
      await waitUntil(`segment ${digit}`, async () =>
        (await server.folder.waiting()).includes(segment(digit)),
      )
      await server.take(digit)
    }

    assert.ok(most > 3, `${most} at once`)
    await server.end()
    await running
  })

  test('follows the server to another place and throws away what lies behind it', async () => {
    await using server = await recoveringServer(['2', '3', '4', '7', '8'])
    const running = server.prefetch('1', 4)
    await server.untilWaiting(['2', '3', '4'])

    await server.folder.tellAsked(segment('6'))
    await server.untilWaiting(['7', '8'])

    await server.end()
    await running
  })
})

function segment(digit: string): WalSegmentName {
  const name = classifyArchiveFileName(`00000001000000000000000${digit}`)
  assert.ok(name?.kind === 'segment')
  return name.name
}

const byName = (one: string, other: string): number => (one < other ? -1 : 1)

/** What a server in recovery looks like to the prefetcher, whose archive holds these segments. */
async function recoveringServer(digits: readonly string[]) {
  await using opened = new AsyncDisposableStack()
  const { path } = opened.use(await temporaryFolder())
  const walFolder = join(path, 'data', 'pg_wal')
  await mkdir(walFolder, { recursive: true })
  await writeFile(join(path, 'data', 'recovery.signal'), '')
  await writeFile(join(path, 'data', 'postmaster.pid'), `${process.pid}\n`)
  const place = await createPlace()
  for (const digit of digits) await archive(path, digit, place)
  const folder = new PrefetchFolder(walFolder, systemClock)
  const pathOf = (digit: string): string => join(folder.path, segment(digit))
  const lifetime = opened.move()
  return {
    walFolder,
    place,
    folder,
    pathOf,
    prefetch: (after: string, mostSegments: number) =>
      runPrefetch(
        { walFolder, after: segment(after), mostSegments },
        { repositories: [place] },
        recordingContext(),
      ),
    archive: (digit: string) => archive(path, digit, place),
    take: (digit: string) => rename(pathOf(digit), join(path, 'taken')),
    untilWaiting: (expected: readonly string[]) =>
      waitUntil(`${expected.join(', ')} to be fetched`, async () => {
        const waiting = await folder.waiting().catch(() => [])
        return waiting.toSorted(byName).join(' ') === expected.map(segment).join(' ')
      }),
    end: () => rm(join(path, 'data', 'recovery.signal')),
    [Symbol.asyncDispose]: () => lifetime.disposeAsync(),
  }
}

async function archive(folder: string, digit: string, place: ArchivePlace): Promise<void> {
  const path = join(folder, segment(digit))
  await writeFile(path, buildSegment(segment(digit)))
  await pushFile({ path }, { repositories: [place] }, recordingContext())
}
