import assert from 'node:assert/strict'
import { mkdir, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import {
  buildSegment,
  createPlace,
  recordingContext,
  temporaryFolder,
} from '../../test/support/archive-fixture.ts'
import { parseArchiveFileName } from '../domain/archive-file-name.ts'
import { listContents } from './archived-contents.ts'
import type { ArchivePlace } from './archive-place.ts'
import { sealHere, type PushTools } from './push-file.ts'
import { pushFinished } from './push-finished.ts'

const fileName = '000000010000000000000003'

describe('pushFinished', () => {
  test('archives a segment that the server has finished', async () => {
    const place = await createPlace()
    await using server = await walFolder('ready')

    assert.equal(await pushFinished({ ...server, fileName }, place, recordingContext()), true)

    assert.equal(await contentCount(place), 1)
  })

  test('leaves alone what the server still writes to, and what its archiver has archived', async () => {
    const place = await createPlace()
    for (const status of [undefined, 'done'] as const) {
      await using server = await walFolder(status)
      assert.equal(await pushFinished({ ...server, fileName }, place, recordingContext()), false)
    }

    assert.equal(await contentCount(place), 0)
  })

  test('stores nothing of a file that the server may have used again while it was read', async () => {
    const place = await createPlace()
    await using server = await walFolder('ready')
    const status = join(server.walFolder, 'archive_status', fileName)
    const seal: PushTools['seal'] = async (request, signal) => {
      await rename(`${status}.ready`, `${status}.done`)
      return sealHere(request, signal)
    }
    const context = recordingContext()

    assert.equal(await pushFinished({ ...server, fileName, seal }, place, context), false)

    assert.match(JSON.stringify(context.events), /has archived 000000010000000000000003 while it was read/)
    assert.equal(await contentCount(place), 0)
  })

  test('leaves to the archiver what cannot be pushed, and says why', async () => {
    const place = await createPlace()
    await using server = await walFolder('ready', { systemIdentifier: '1' })
    const context = recordingContext()

    assert.equal(await pushFinished({ ...server, fileName }, place, context), false)

    assert.match(JSON.stringify(context.events), /waiting for the archiver.*system identifier/)
    assert.equal(await contentCount(place), 0)
  })
})

/** With one segment and what the server says of it. */
async function walFolder(
  status: 'ready' | 'done' | undefined,
  shape: Parameters<typeof buildSegment>[1] = {},
): Promise<AsyncDisposable & { readonly walFolder: string }> {
  const folder = await temporaryFolder()
  await mkdir(join(folder.path, 'archive_status'))
  await writeFile(join(folder.path, fileName), buildSegment(fileName, shape))
  if (status !== undefined) await writeFile(join(folder.path, 'archive_status', `${fileName}.${status}`), '')
  return { walFolder: folder.path, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() }
}

async function contentCount(place: ArchivePlace): Promise<number> {
  return (await listContents(parseArchiveFileName(fileName), place, recordingContext())).length
}
