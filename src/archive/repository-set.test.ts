import assert from 'node:assert/strict'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { createPlace, recordingContext, temporaryFolder } from '../../test/support/archive-fixture.ts'
import { acknowledge, acknowledgementFolder, tidyAcknowledgements } from './acknowledgements.ts'
import { forgetAcknowledgements, requireRepositorySet } from './repository-set.ts'

const third = '000000010000000000000003'

describe('acknowledgements', () => {
  test('are forgotten when they are about other repositories than those that are configured (R22, R27)', async () => {
    await using folder = await temporaryFolder()
    const walFolder = folder.path
    const [one, other] = [await createPlace(), await createPlace()]
    const isThere = async (): Promise<boolean> =>
      (await readdir(join(walFolder, acknowledgementFolder))).includes(third)
    const note = (): Promise<void> => acknowledge(walFolder, { fileName: third, modifiedAtNs: 0n })

    await note() // by a version that did not say which repositories it means
    await requireRepositorySet(walFolder, { places: [one], required: 1 }, recordingContext())
    assert.equal(await isThere(), false)
    await note()
    await requireRepositorySet(walFolder, { places: [one], required: 1 }, recordingContext())
    assert.equal(await isThere(), true)
    await requireRepositorySet(walFolder, { places: [one, other], required: 1 }, recordingContext())
    assert.equal(await isThere(), false)
    await note()
    await tidyAcknowledgements(walFolder, () => false)
    await note()
    await requireRepositorySet(walFolder, { places: [one, other], required: 1 }, recordingContext())
    assert.equal(await isThere(), true)
    await requireRepositorySet(walFolder, { places: [one, other], required: 2 }, recordingContext())
    assert.equal(await isThere(), false)
    await note()
    await forgetAcknowledgements(walFolder, recordingContext())
    await requireRepositorySet(walFolder, { places: [one, other], required: 1 }, recordingContext())
    assert.equal(await isThere(), false)
  })

  test('are no reason to fail when they cannot be forgotten: then nothing is noted ahead', async () => {
    await using folder = await temporaryFolder()
    const context = recordingContext()
    await writeFile(join(folder.path, acknowledgementFolder), '')

    assert.equal(
      await requireRepositorySet(folder.path, { places: [await createPlace()], required: 1 }, context),
      false,
    )
    assert.deepEqual(
      context.events.map(({ kind }) => kind),
      ['warning'],
    )
    await forgetAcknowledgements(join(folder.path, 'nowhere'), context)
    await mkdir(join(folder.path, 'empty'))
    await forgetAcknowledgements(join(folder.path, 'empty'), context)
    assert.equal(context.events.length, 1)
  })
})
