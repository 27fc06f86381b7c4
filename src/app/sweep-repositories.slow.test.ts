import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { loadConfiguration } from '../config/load-configuration.ts'
import { ensureCluster } from '../repository/cluster-record.ts'
import { createRepository } from '../repository/open-repository.ts'
import { createPosixStore } from '../storage/posix/posix-store.ts'
import { testCluster, testContext } from '../../test/support/repository.ts'
import { storeBackup } from '../../test/support/stored-cluster.ts'
import { listSwept, sweepRepositories } from './sweep-repositories.ts'

describe('sweepRepositories', () => {
  test('sweeps the others when one fails, and passes over one in which nothing was ever listed', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'hf-sweep-'))
    const context = testContext()
    const locationOf = (name: string): string => `posix:${join(folder, name)}`
    for (const name of ['bare', 'good']) {
      await using store = await createPosixStore(join(folder, name), { access: 'write' }, context)
      const repository = await createRepository(store, { unlocker: undefined }, context)
      const cluster = await ensureCluster(repository, testCluster, context)
      const backup = { label: '20260219-120000F', firstSegment: 5, lastSegment: 5 }
      if (name === 'good') await storeBackup({ repository, cluster }, backup, context)
    }
    const repos = Object.fromEntries(
      ['lost', 'bare', 'good'].map((name) => [name, { location: locationOf(name), encryption: 'none' }]),
    )
    const file = join(folder, 'holdfast.yaml')
    const clusters = { [testCluster.name]: { connection: 'host=/nowhere' } }
    await writeFile(file, JSON.stringify({ 'state-directory': join(folder, 'state'), repos, clusters }))
    const { configuration } = await loadConfiguration({
      explicitFile: file,
      environment: {},
      home: undefined,
    })
    const selection = { configuration, clusterName: undefined, repoName: undefined }

    const swept = await sweepRepositories({ ...selection, graceMs: 0, isDryRun: false }, context)

    const { repos: done, failures } = listSwept(swept, false)
    assert.deepEqual([done.map(({ name }) => name), failures.map(({ name }) => name)], [['good'], ['lost']])
    await rm(folder, { recursive: true })
  })
})
