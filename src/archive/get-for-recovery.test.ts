import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, test } from 'node:test'
import {
  buildSegment,
  createPlace,
  recordingContext,
  temporaryFolder,
} from '../../test/support/archive-fixture.ts'
import { classifyArchiveFileName } from '../domain/archive-file-name.ts'
import type { WalSegmentName } from '../domain/wal-segment.ts'
import { systemClock } from '../platform/system-clock.ts'
import type { ArchivePlace } from './archive-place.ts'
import { getForRecovery } from './get-for-recovery.ts'
import { PrefetchFolder } from './prefetch-folder.ts'
import { pushFile } from './push-file.ts'

const third = segment('000000010000000000000003')
const fourth = segment('000000010000000000000004')

describe('getForRecovery', () => {
  for (const [what, startPrefetcher] of [
    ['nothing', undefined],
    ['something', () => Promise.resolve()],
  ] as const) {
    test(`removes what runs that were killed have left, where ${what} is fetched ahead`, async () => {
      await using server = await makeServer()
      await writeFile(join(server.walFolder, '.holdfast-RECOVERYXLOG.0123456789ab'), 'x')

      const tools = { repositories: [server.place], startPrefetcher }
      const { kind } = await getForRecovery(server.request, tools, recordingContext())

      assert.equal(kind, 'found')
      assert.deepEqual(await readdir(server.walFolder), ['RECOVERYXLOG'])
    })
  }

  test('asks the repository when what was fetched ahead cannot be taken, and warns (R39)', async () => {
    await using server = await makeServer()
    await writeFile(join(server.walFolder, 'holdfast-prefetch'), 'in the place of the folder')
    const context = recordingContext()

    const tools = { repositories: [server.place], startPrefetcher: () => Promise.resolve() }
    const { kind } = await getForRecovery(server.request, tools, context)

    assert.equal(kind, 'found')
    assert.deepEqual(await readFile(server.request.destination), buildSegment(third))
    assert.deepEqual(
      context.events.map((event) => event.kind),
      ['warning'],
    )
  })

  test('announces what the prefetcher fetches first, but not again when that did not come', async () => {
    await using server = await makeServer()
    await writeFile(join(dirname(server.walFolder), 'standby.signal'), '')
    await writeFile(join(dirname(server.walFolder), 'postmaster.pid'), `${process.pid}\n`)
    const folder = new PrefetchFolder(server.walFolder, systemClock)
    const tools = { repositories: [server.place], startPrefetcher: () => Promise.resolve() }

    await getForRecovery(server.request, tools, recordingContext())
    assert.equal(await folder.isAnnounced(fourth), true)
    await folder.withdraw(fourth)
    await folder.announce(third)
    await getForRecovery(server.request, tools, recordingContext())

    assert.deepEqual(await readdir(folder.path), ['.asked'])
  })
})

function segment(text: string): WalSegmentName {
  const name = classifyArchiveFileName(text)
  assert.ok(name?.kind === 'segment')
  return name.name
}

/** A folder for WAL, and an archive with one segment. */
async function makeServer(): Promise<
  AsyncDisposable & {
    readonly walFolder: string
    readonly place: ArchivePlace
    readonly request: { readonly name: string; readonly destination: string }
  }
> {
  await using opened = new AsyncDisposableStack()
  const { path } = opened.use(await temporaryFolder())
  const walFolder = join(path, 'pg_wal')
  await mkdir(walFolder)
  const place = await createPlace()
  await writeFile(join(path, third), buildSegment(third))
  await pushFile({ path: join(path, third) }, { repositories: [place] }, recordingContext())
  const lifetime = opened.move()
  return {
    walFolder,
    place,
    request: { name: third, destination: join(walFolder, 'RECOVERYXLOG') },
    [Symbol.asyncDispose]: () => lifetime.disposeAsync(),
  }
}
