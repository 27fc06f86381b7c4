import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { buildSegment, createPlace, recordingContext } from '../../test/support/archive-fixture.ts'
import { archiveContent, fetchContent } from '../../test/support/archived-content.ts'
import { parseArchiveFileName } from '../domain/archive-file-name.ts'
import { copyArchivedFile } from './copy-archived-file.ts'

describe('copyArchivedFile, of a file of several parts,', () => {
  test('gives the same bytes back', async () => {
    const segmentMiB = 64
    const name = '00000001000000000000000A'
    const content = buildSegment(name, { segmentMiB })
    const [from, to] = [await createPlace({ segmentMiB }), await createPlace({ segmentMiB })]
    const digest = await archiveContent(from, name, content)
    const object = { name: parseArchiveFileName(name), digest, part: 0 }

    await copyArchivedFile(object, { from, to }, recordingContext())

    assert.ok(content.equals(await fetchContent(to, name)))
  })
})
