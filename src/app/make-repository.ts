import { OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { ServerIdentity } from '../postgres/server-facts.ts'
import { ensureCluster, listClusters } from '../repository/cluster-record.ts'
import {
  createRepository,
  isRepository,
  openRepository,
  type Repository,
} from '../repository/open-repository.ts'
import { createStore, localFolderOf, parseRepositoryLocation } from '../storage/open-store.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import { probePrefix, probeStore, refuseUnfit } from '../storage/probe-store.ts'
import type { PlannedRepo } from './initial-configuration.ts'
import { isKeyFileThere, makeKeyFile, syncSecretFile } from './key-file.ts'
import { readUnlocker } from './open-configured-repository.ts'
import { storeOptions } from './store-options.ts'

export type Made = 'created' | 'exists'

/** A repository that knows a cluster, and what of that was there before. */
export interface MadeRepository {
  readonly repo: {
    readonly name: string
    readonly location: string
    readonly isEncrypted: boolean
    readonly made: Made
  }
  /** Undefined without a key file. */
  readonly keyFile: { readonly path: string; readonly made: Made } | undefined
  readonly clusterRecord: Made
}

/** Makes the key, the repository and the cluster's record in it, each unless it is there. Never a new key for old data. */
export async function makeRepository(
  repo: PlannedRepo,
  { name, facts }: { readonly name: string; readonly facts: ServerIdentity },
  context: RunContext,
): Promise<MadeRepository> {
  await using store = await createStore(
    parseRepositoryLocation(repo.location),
    await storeOptions(repo),
    context,
  )
  const isOld = await isRepository(store, context)
  if (!isOld && localFolderOf(repo.location) === undefined) await requireFit(store, context)
  const keyFile = repo.keyFile === undefined ? undefined : await ensureKey(repo.keyFile, isOld)
  const keys = { unlocker: await readUnlocker(repo) }
  const secretFile = repo.keyFile ?? repo.passphraseFile
  // Durable before anything is locked with it.
  if (!isOld && secretFile !== undefined) await syncSecretFile(secretFile)
  const repository = await (isOld ? openRepository : createRepository)(store, keys, context)
  return {
    repo: {
      name: repo.name,
      location: store.location,
      isEncrypted: repository.method !== 'none',
      made: isOld ? 'exists' : 'created',
    },
    keyFile,
    clusterRecord: await ensureRecord(repository, { name, facts }, context),
  }
}

async function requireFit(store: ObjectStore, context: RunContext): Promise<void> {
  const probed = await probeStore(store, context)
  refuseUnfit(store, probed)
  if (probed.leftCount === 0) return
  context.report({
    kind: 'note',
    message: `the keys may add and not delete: ${probed.leftCount} objects of a probe are left below "${probePrefix}"; "holdfast repo probe" by somebody who may delete removes them`,
  })
}

/** For a repository that is there a new key would be useless. */
async function ensureKey(path: string, isRepositoryThere: boolean): Promise<{ path: string; made: Made }> {
  if (isRepositoryThere && !(await isKeyFileThere(path))) {
    throw new OperationError(
      'key-missing',
      `opening the repository: expected its key in ${quote(path)}, found no such file`,
      {
        hint: 'Put the key file of this repository there, or name it with --key-file; a repository without encryption wants --no-encryption.',
      },
    )
  }
  return { path, made: await makeKeyFile(path) }
}

async function ensureRecord(
  repository: Repository,
  { name, facts }: { name: string; facts: ServerIdentity },
  context: RunContext,
): Promise<Made> {
  const { systemIdentifier, version, walSegmentSize } = facts
  const known = await listClusters(repository, context)
  const twin = known.find((other) => other.name !== name && other.systemIdentifier === systemIdentifier)
  if (twin !== undefined) {
    context.report({
      kind: 'warning',
      message: `the repository knows this system already, as cluster "${twin.name}"`,
      hint: 'That is right for a copy that goes its own way; otherwise use that name.',
    })
  }
  await ensureCluster(repository, { name, systemIdentifier, major: version.major, walSegmentSize }, context)
  return known.some((other) => other.name === name) ? 'exists' : 'created'
}
