import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { buildObjects, olderBackup, siteUnlocker, storeOf } from '../../test/corruption/damaged-site.ts'
import { recordingContext, temporaryFolder } from '../../test/support/archive-fixture.ts'
import { parseBackupLabel } from '../domain/backup-label.ts'
import { changeCatalogue } from '../repository/catalogue.ts'
import { requireCluster } from '../repository/cluster-record.ts'
import { openRepository } from '../repository/open-repository.ts'
import { prepareRestore } from './run-restore.ts'

describe('planRestore, when the WAL has a gap behind the backup,', () => {
  test('warns that nothing behind it can be reached', async () => {
    assert.match((await warnings([])).join('\n'), /000000010000000000000003 is missing/)
  })

  test('says nothing of a backup of which only the own WAL is kept: the gap is meant', async () => {
    assert.deepEqual(await warnings([olderBackup]), [])
  })
})

/** What is told before the older backup is restored without the segment behind its own. */
async function warnings(ownWal: readonly string[]): Promise<readonly string[]> {
  await using folder = await temporaryFolder()
  const context = recordingContext()
  const objects = await buildObjects()
  const intact = [...objects].filter(([key]) => !key.includes('000000010000000000000003-'))
  const store = await storeOf(new Map(intact))
  const repository = await openRepository(store, { unlocker: siteUnlocker }, context)
  const cluster = await requireCluster(repository, 'main', context)
  const change = {
    kind: 'remove',
    labels: [],
    ownWal: ownWal.map((label) => parseBackupLabel(label)),
  } as const
  await changeCatalogue(
    repository,
    { clusterId: cluster.id, change, confirm: () => Promise.resolve() },
    context,
  )
  const { plan } = await prepareRestore(
    {
      targetDirectory: join(folder.path, 'restored'),
      backup: parseBackupLabel(olderBackup),
      target: { kind: 'immediate', timeline: 'current', action: 'promote' },
      isDelta: false,
      tablespaceMap: [],
      isFilesOnly: true,
      continuesLineage: false,
    },
    {
      place: { repository, cluster },
      workers: 1,
      restoreCommand: () => 'false',
      binaries: { searchPath: '' },
      roles: ['postgres'],
      forbidden: { repository: undefined, home: undefined },
    },
    context,
  )
  return plan.warnings.filter((warning) => warning.startsWith('WAL'))
}
