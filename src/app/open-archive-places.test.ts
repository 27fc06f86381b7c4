import assert from 'node:assert/strict'
import { cp, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { configurationSchema, type Configuration } from '../config/configuration-schema.ts'
import { parseBackupLabel } from '../domain/backup-label.ts'
import { changeCatalogue } from '../repository/catalogue.ts'
import { ensureCluster } from '../repository/cluster-record.ts'
import { createRepository } from '../repository/open-repository.ts'
import { createStore, parseRepositoryLocation } from '../storage/open-store.ts'
import { sampleHead } from '../../test/support/repository-samples.ts'
import { testCluster, testContext, testKeyFile } from '../../test/support/repository.ts'
import { guardRestore, readGuardedCatalogue } from './guarded-catalogue.ts'
import { openFirstPlace } from './open-archive-places.ts'
import { openCluster } from './open-cluster.ts'

/** Two repositories of one cluster, `one` and `other`, each with a backup. */
async function makeSite(folder: string): Promise<Configuration> {
  const keyFile = join(folder, 'key')
  assert.ok(testKeyFile.kind === 'key-file')
  await writeFile(keyFile, testKeyFile.secret, { mode: 0o600 })
  const repo = (name: string) => ({ location: `posix:${join(folder, name)}`, 'key-file': keyFile })
  const configuration = configurationSchema.parse({
    clusters: { main: { connection: 'host=/nowhere' } },
    repos: { one: repo('one'), other: repo('other') },
    'state-directory': join(folder, 'state'),
  })
  for (const { location } of Object.values(configuration.repos)) {
    await using store = await createStore(
      parseRepositoryLocation(location),
      { access: 'write' },
      testContext(),
    )
    const repository = await createRepository(store, { unlocker: testKeyFile }, testContext())
    await ensureCluster(repository, testCluster, testContext())
  }
  return configuration
}

async function list(configuration: Configuration, day: number): Promise<void> {
  const selection = { configuration, clusterName: 'main', repoName: undefined }
  await using opened = await openCluster(selection, testContext())
  for (const place of opened.repositories) {
    const label = parseBackupLabel(`202602${day}-153000F`)
    const change = { kind: 'publish', backup: { ...sampleHead().backup, label, manifestDigest: '' } } as const
    const request = { clusterId: place.cluster.id, change, confirm: () => Promise.resolve() }
    await changeCatalogue(place.repository, request, testContext())
    await readGuardedCatalogue(place, testContext())
  }
}

describe('opening the first place', () => {
  test('passes over a repository that went back when another one did not (R70, RULES 4.3)', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'hf-places-'))
    try {
      const configuration = await makeSite(folder)
      await list(configuration, 20)
      await cp(join(folder, 'one'), join(folder, 'yesterday'), { recursive: true })
      await list(configuration, 21)
      await rm(join(folder, 'one'), { recursive: true })
      await rename(join(folder, 'yesterday'), join(folder, 'one'))
      const open = async (repoName: string | undefined, acceptsOlder: boolean) => {
        const context = testContext()
        const selection = { configuration, clusterName: 'main', repoName }
        await using opened = await openFirstPlace(
          selection,
          (place) => guardRestore(place, acceptsOlder, context),
          context,
        )
        const warnings = context.events.filter(({ kind }) => kind === 'warning')
        return { name: opened.repositories[0].name, warningCount: warnings.length }
      }

      assert.deepEqual(await open(undefined, false), { name: 'other', warningCount: 1 })
      assert.deepEqual(await open('one', true), { name: 'one', warningCount: 1 })
      await assert.rejects(open('one', false), { code: 'repository-went-back' })
    } finally {
      await rm(folder, { recursive: true })
    }
  })
})
