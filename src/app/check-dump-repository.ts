import type { RepoConfiguration } from '../config/select-configured.ts'
import { formatDuration } from '../domain/duration.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { ServerIdentity } from '../postgres/server-facts.ts'
import { localFolderOf } from '../storage/open-store.ts'
import { proveWritable } from '../storage/probe-store.ts'
import { readVerifyState } from '../verify/verify-state-store.ts'
import { checkItem, type CheckItem } from './check-item.ts'
import {
  checkProtection,
  checkSpace,
  judgeAge,
  judgeIdentity,
  judgeKey,
  type Verdict,
} from './check-repository.ts'
import { judgeCatalogue } from './guarded-catalogue.ts'
import { judgeLastDump } from './judge-last-dump.ts'
import { judgeVerified } from './judge-verified.ts'
import type { ClusterRepository } from './open-cluster.ts'

interface CheckedDumpRepository {
  readonly opened: ClusterRepository
  readonly settings: RepoConfiguration
  /** Undefined: the server could not be asked. */
  readonly identity: ServerIdentity | undefined
}

/** What a repository of a cluster of dumps holds, and that it can be written to. That it could be opened has proven its key. */
export async function checkDumpRepository(
  { opened, settings, identity }: CheckedDumpRepository,
  context: RunContext,
): Promise<readonly CheckItem[]> {
  const { name, repository, cluster } = opened
  const { store } = repository
  const check = (what: string, body: () => Promise<Verdict>): Promise<CheckItem> =>
    checkItem(`${what} of repo ${name}`, body, context)
  const judged = await judgeCatalogue(opened, context)
  const { dumps } = judged.catalogue
  const path = localFolderOf(store.location)
  return [
    await check('key', () => Promise.resolve(judgeKey(settings))),
    ...(identity === undefined
      ? []
      : [await check('identity', () => Promise.resolve(judgeIdentity(opened, identity)))]),
    await check('catalogue', () => Promise.resolve(judgeAge(judged))),
    await checkItem(`writing to repo ${name}`, () => checkWriting(opened, context), context),
    await check('last dump', () => Promise.resolve(judgeLastDump(dumps, context.clock.now()))),
    await check('verify', async () =>
      judgeVerified(await readVerifyState(repository, cluster.id, context), context.clock.now()),
    ),
    ...(store.protection === undefined
      ? []
      : [await check('protection', () => checkProtection(opened, [], context))]),
    ...(path === undefined ? [] : [await check('space', () => checkSpace(path, dumps.at(-1)))]),
  ]
}

/** Of other clusters a segment proves it, which comes back out of the archive. */
async function checkWriting(
  { repository: { store } }: ClusterRepository,
  context: RunContext,
): Promise<Verdict> {
  const startedAt = context.clock.monotonic()
  await proveWritable(store, context)
  const took = formatDuration(context.clock.monotonic() - startedAt)
  return { state: 'ok', message: `what was written came back intact after ${took}` }
}
