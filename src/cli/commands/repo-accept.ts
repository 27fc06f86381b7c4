import type { Command } from 'commander'
import type { AcceptedRepoDocument } from '../../api/repository-document.ts'
import type { PlannedAcceptance } from '../../app/accept-repository.ts'
import { formatInstant, instantFromMs } from '../../domain/target-time.ts'
import { loadAsOwner } from '../become-owner.ts'
import type { CommandEnvironment } from '../command-environment.ts'
import { confirmName } from '../confirm-name.ts'
import { printable } from '../output/text.ts'

interface AcceptOptions {
  readonly confirm?: string
  readonly dryRun?: true
}

/** `repo accept`: takes a repository that went back as it is now. */
export function registerRepoAccept(repo: Command, environment: CommandEnvironment): void {
  repo
    .command('accept')
    .description('take a repository that went back in time as it is now')
    .option('--dry-run', 'say what would be accepted and change nothing')
    .option('--confirm <name>', 'the name of the repo')
    .action((options: AcceptOptions) => accept(options, environment))
}

async function accept({ confirm, dryRun }: AcceptOptions, environment: CommandEnvironment): Promise<void> {
  const { configuration } = await loadAsOwner(environment)
  const { applyAcceptance, planAcceptance } = await import('../../app/accept-repository.ts')
  const { cluster: clusterName, repo: repoName } = environment.options
  const selection = { configuration, clusterName, repoName }
  await using planned = await planAcceptance(selection, environment.context)
  const { name } = planned.place
  const answer = (isDry: boolean): void =>
    environment.answer({ document: toDocument(planned, isDry), text: () => toText(planned, isDry) })
  if (dryRun === true || !planned.isNeeded) {
    answer(dryRun === true)
    return
  }
  const doing = `accepting repo "${name}" as it is`
  const warning = `${messageOf(planned) ?? ''}.`
  await confirmName({ doing, warning, expected: name, given: confirm }, environment)
  await applyAcceptance(planned, environment.context)
  answer(false)
}

function messageOf({ judged: { freshness, forgetful } }: PlannedAcceptance): string | undefined {
  return freshness.kind === 'went-back' ? freshness.error.message : forgetful?.message
}

function toDocument(planned: PlannedAcceptance, dryRun: boolean): AcceptedRepoDocument {
  const { place, judged, isNeeded } = planned
  const { catalogue, freshness, writtenAtMs } = judged
  return {
    version: 1,
    dryRun,
    cluster: place.cluster.name,
    repo: place.name,
    location: place.repository.store.location,
    isNeeded,
    message: messageOf(planned) ?? null,
    newestEntry: catalogue.number,
    newestEntryAt: writtenAtMs === undefined ? null : formatInstant(instantFromMs(writtenAtMs)),
    lostBackups: freshness.kind === 'went-back' ? freshness.lostLabels : [],
  }
}

function toText(planned: PlannedAcceptance, isDry: boolean): string {
  const { place, judged, isNeeded } = planned
  const what = `repo ${place.name} at entry #${judged.catalogue.number}`
  if (!isNeeded) return `there is nothing to accept: ${what} is not older than what this host has seen\n`
  const message = printable(messageOf(planned) ?? '')
  return `${message}\n${isDry ? 'would accept' : 'accepted'} ${what} as it is\n`
}
