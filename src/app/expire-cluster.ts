import { hostname } from 'node:os'
import type { Configuration } from '../config/configuration-schema.ts'
import { selectCluster, type ClusterConfiguration } from '../config/select-configured.ts'
import { isOperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { readProcessIdentity } from '../platform/process-identity.ts'
import type { ListedBackup } from '../repository/backup-entry.ts'
import type { Catalogue } from '../repository/catalogue.ts'
import { acquireLease, type Lease } from '../repository/lease.ts'
import {
  applyExpire,
  requirePermission,
  type AppliedExpire,
  type Permission,
} from '../retention/apply-expire.ts'
import { applyExpireDumps, requireDumpPermission } from '../retention/apply-expire-dumps.ts'
import { noRules, type KeepRules } from '../retention/keep-rules.ts'
import type { DumpExpirePlan } from '../retention/plan-expire-dumps.ts'
import type { PlanWarning } from '../retention/plan-warnings.ts'
import { planExpire, type ExpirePlan } from '../retention/plan-expire.ts'
import { defaultGraceMs, sweepCluster, type SweepResult } from '../retention/sweep.ts'
import { planDumps, type ExpiredDumps } from './expire-dumps.ts'
import { gatherExpireFacts, requireManifests } from './expire-facts.ts'
import { rememberCatalogue } from './guarded-catalogue.ts'
import { chooseRepos, openCluster, type ClusterRepository, type ClusterSelection } from './open-cluster.ts'

export interface ExpireRequest extends ClusterSelection, Permission {
  readonly isDryRun: boolean
}

/** What was planned in one repository, and how far it came. */
export interface ExpiredRepo {
  readonly name: string
  readonly location: string
  /** Before anything changed. */
  readonly backups: readonly ListedBackup[]
  readonly plan: ExpirePlan
  /** Undefined: a dry run, or it was refused. */
  readonly applied: AppliedExpire | undefined
  readonly dumps: ExpiredDumps
  /** Undefined: a clock seems to be wrong, or another sweep runs; in a dry run what a sweep would delete now. */
  readonly swept: SweepResult | undefined
  /** What stood in the way; undefined when nothing did. */
  readonly failure: unknown
}

export interface ExpiredCluster {
  readonly name: string
  readonly repos: readonly ExpiredRepo[]
  /** Repositories in which nothing could even be planned. */
  readonly failures: readonly { readonly name: string; readonly error: unknown }[]
}

/**
 * Forgets in each repository what the keep rules do not keep, and sweeps. One repository that fails does not keep the
 * others from it. Killed anywhere, the next run goes on (R68).
 */
export async function expireCluster(request: ExpireRequest, context: RunContext): Promise<ExpiredCluster> {
  const { configuration, clusterName, repoName } = request
  const settings = selectCluster(configuration, clusterName)
  const rules = keepRulesOf(configuration, settings)
  const repos: ExpiredRepo[] = []
  const failures: ExpiredCluster['failures'][number][] = []
  for (const { name } of chooseRepos(configuration, settings, repoName)) {
    try {
      const usesReserve = !request.isDryRun
      const selection = { configuration, clusterName: settings.name, repoName: name, usesReserve }
      await using opened = await openCluster(selection, context)
      repos.push(
        await expireRepo({ ...request, rules, dumpRules: rules.dumps }, opened.repositories[0], context),
      )
    } catch (error) {
      context.signal.throwIfAborted()
      failures.push({ name, error })
    }
  }
  return { name: settings.name, repos, failures }
}

/** The rules of a cluster: its own, or the general ones. */
export function keepRulesOf(
  configuration: Configuration,
  settings: ClusterConfiguration,
): Configuration['keep'] {
  return settings.keep ?? configuration.keep
}

interface RepoRequest extends Permission {
  readonly rules: KeepRules
  /** Default: none, so that no dump expires. */
  readonly dumpRules?: KeepRules
  readonly isDryRun: boolean
}

/** Plans and, unless it is a dry run, carries out and sweeps. Throws what keeps it from planning. */
export async function expireRepo(
  request: RepoRequest,
  place: ClusterRepository,
  context: RunContext,
): Promise<ExpiredRepo> {
  if (request.isDryRun) {
    const { planned, isAnythingListed } = await planRepo(request, place, context)
    return { ...planned, ...(await trySweep({ isAnythingListed, isDryRun: true }, place, context)) }
  }
  await using lease = await acquireExpireLease(place, context)
  const held = { ...context, signal: AbortSignal.any([context.signal, lease.lost]) }
  const { planned, ...deciding } = await planRepo(request, place, held)
  const { plan, dumps } = planned
  const sweeping = { isAnythingListed: deciding.isAnythingListed, isDryRun: false }
  try {
    requirePermission(plan, request, place)
    requireDumpPermission(dumps.plan, request, place)
  } catch (failure) {
    // What was given up before is not held up by what must not be given up now; only a wrong clock holds up both.
    const isClockRight = (plan.clockDoubt ?? dumps.plan.clockDoubt) === undefined
    const maySweep = isClockRight && request.confirmed === undefined
    const sweep = maySweep ? await trySweep(sweeping, place, held) : undefined
    return { ...planned, swept: sweep?.swept, failure }
  }
  const applied = await applyExpire({ plan, decide: deciding.decide, lease }, place, held)
  const decideDumps = { plan: dumps.plan, decide: deciding.decideDumps, lease }
  const appliedDumps = await applyExpireDumps(decideDumps, place, held)
  // Dying here leaves objects that nothing lists any more: the next sweep finds them.
  if ((applied.catalogue ?? appliedDumps.catalogue) !== undefined) await rememberCatalogue(place, held)
  const done = { applied, dumps: { ...dumps, removed: appliedDumps.removed } }
  return { ...planned, ...done, ...(await trySweep(sweeping, place, held)) }
}

interface PlannedRepo {
  readonly planned: ExpiredRepo
  /** Now or ever. */
  readonly isAnythingListed: boolean
  readonly decide: (backups: readonly ListedBackup[]) => ExpirePlan
  readonly decideDumps: (catalogue: Catalogue) => DumpExpirePlan
}

async function planRepo(
  { rules, dumpRules = noRules }: RepoRequest,
  place: ClusterRepository,
  context: RunContext,
): Promise<PlannedRepo> {
  const facts = await gatherExpireFacts(place, context)
  const { catalogue, knowledge } = facts
  const decide = (backups: readonly ListedBackup[]): ExpirePlan => planExpire(backups, rules, knowledge)
  const plan = decide(catalogue.backups)
  const dumps = await planDumps({ rules: dumpRules, facts }, place, context)
  const warnings = [...plan.warnings, ...dumps.expired.plan.warnings]
  for (const warning of warnings) context.report({ kind: 'warning', ...warnedOf(warning, place) })
  if (plan.remove.length + plan.ownWal.length > 0) await requireManifests(catalogue, place, context)
  const planned: ExpiredRepo = {
    name: place.name,
    location: place.repository.store.location,
    backups: catalogue.backups,
    plan,
    applied: undefined,
    dumps: dumps.expired,
    swept: undefined,
    failure: undefined,
  }
  return { planned, decide, decideDumps: dumps.decide, isAnythingListed: catalogue.number > 0 }
}

const warnedOf = ({ message, hint }: PlanWarning, { name }: ClusterRepository): PlanWarning => ({
  message: `repo "${name}": ${message}`,
  hint,
})

/** What was taken out of the catalogue stays so, whatever becomes of the sweep: the next one does what this one did not. */
async function trySweep(
  { isAnythingListed, isDryRun }: Pick<PlannedRepo, 'isAnythingListed'> & { readonly isDryRun: boolean },
  place: ClusterRepository,
  context: RunContext,
): Promise<Pick<ExpiredRepo, 'swept' | 'failure'>> {
  // Without a catalogue nothing can be called garbage.
  if (!isAnythingListed) return { swept: undefined, failure: undefined }
  try {
    const swept = await sweepCluster({ graceMs: defaultGraceMs, isDryRun }, place, context)
    return { swept, failure: undefined }
  } catch (error) {
    context.signal.throwIfAborted()
    if (!isOperationError(error, 'busy')) return { swept: undefined, failure: error }
    context.report({ kind: 'note', message: `the sweep is left to the one that runs: ${error.message}` })
    return { swept: undefined, failure: undefined }
  }
}

/** One expire, and one delete, at a time: two would plan with what the other is about to remove. */
export function acquireExpireLease(
  { repository, cluster }: ClusterRepository,
  context: RunContext,
): Promise<Lease> {
  const purpose = `expire of cluster "${cluster.name}" by ${hostname()}`
  const holder = readProcessIdentity()
  return acquireLease(repository, { clusterId: cluster.id, scope: 'expire', purpose, holder }, context)
}
