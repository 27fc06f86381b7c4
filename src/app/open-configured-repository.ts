import type { RepoConfiguration } from '../config/select-configured.ts'
import { readSecretFile } from '../config/read-secret-file.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { Unlocker } from '../repository/key-slot.ts'
import { openRepository, type Repository } from '../repository/open-repository.ts'
import { openStore, openStoreAsOf, parseRepositoryLocation } from '../storage/open-store.ts'
import { storeOptions } from './store-options.ts'

export interface RepositoryUse {
  /** For what frees space, and must work on a full disk. */
  readonly usesReserve?: boolean
}

/** Opens a configured repository with its configured key. Disposing closes its store. */
export async function openConfiguredRepository(
  repo: RepoConfiguration,
  { usesReserve = false }: RepositoryUse,
  context: RunContext,
): Promise<Repository & AsyncDisposable> {
  await using opened = new AsyncDisposableStack()
  const location = parseRepositoryLocation(repo.location)
  const options = { ...(await storeOptions(repo)), usesReserve }
  const store = opened.use(
    repo.asOf === undefined
      ? await openStore(location, options, context)
      : await openStoreAsOf(location, { ...options, asOfMs: Number(repo.asOf / 1000n) }, context),
  )
  const repository = await openRepository(store, { unlocker: await readUnlocker(repo) }, context)
  const owned = opened.move()
  return { ...repository, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

/** The secret that the configuration names; undefined for a repository without encryption. */
export async function readUnlocker(
  repo: Pick<RepoConfiguration, 'keyFile' | 'passphraseFile'>,
): Promise<Unlocker | undefined> {
  if (repo.keyFile !== undefined) return { kind: 'key-file', secret: await readSecretFile(repo.keyFile) }
  if (repo.passphraseFile === undefined) return undefined
  return { kind: 'passphrase', passphrase: (await readSecretFile(repo.passphraseFile)).toString('utf8') }
}
