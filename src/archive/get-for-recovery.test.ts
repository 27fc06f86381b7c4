import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import {
  buildSegment,
  createPlace,
  recordingContext,
  temporaryFolder,
} from '../../test/support/archive-fixture.ts'
import type { ArchivePlace } from './archive-place.ts'
import { getForRecovery } from './get-for-recovery.ts'
import { pushFile } from './push-file.ts'

const third = '000000010000000000000003'

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
})

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
