import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ArchivePlace } from '../../src/archive/archive-place.ts'
import { listContents } from '../../src/archive/archived-contents.ts'
import { getFile } from '../../src/archive/get-file.ts'
import { pushFile } from '../../src/archive/push-file.ts'
import { parseArchiveFileName } from '../../src/domain/archive-file-name.ts'
import { recordingContext, temporaryFolder } from './archive-fixture.ts'

/** Archives a file of this content, and gives its digest. */
export async function archiveContent(
  place: ArchivePlace,
  name: string,
  content: Uint8Array,
): Promise<string> {
  await using folder = await temporaryFolder()
  const path = join(folder.path, name)
  await writeFile(path, content)
  await pushFile({ path }, { repositories: [place] }, recordingContext())
  const [digest] = await contentsOf(place, name)
  return digest ?? assert.fail(`${name} was not archived`)
}

/** What the archive gives back. */
export async function fetchContent(place: ArchivePlace, name: string): Promise<Buffer> {
  await using folder = await temporaryFolder()
  const destination = join(folder.path, 'fetched')
  await getFile({ name, destination }, { repositories: [place] }, recordingContext())
  return await readFile(destination) // before the folder goes
}

/** The digests of all contents of this name. */
export const contentsOf = (place: ArchivePlace, name: string): Promise<readonly string[]> =>
  listContents(parseArchiveFileName(name), place, recordingContext())
