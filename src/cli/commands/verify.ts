import { InvalidArgumentError, Option, type Command } from 'commander'
import type { VerifiedCluster, VerifiedRepo } from '../../app/verify-cluster.ts'
import { formatByteSize } from '../../domain/byte-size.ts'
import { formatDuration } from '../../domain/duration.ts'
import { isOperationError, operationErrors } from '../../domain/operation-error.ts'
import type { VerifyScope } from '../../verify/plan-verify.ts'
import { loadAsOwner } from '../become-owner.ts'
import type { CommandEnvironment } from '../command-environment.ts'
import { readJobCount } from '../read-job-count.ts'
import { damageText } from '../output/damage-text.ts'
import { formatAge, printable, type Style } from '../output/text.ts'

interface VerifyOptions {
  readonly sample?: number
  readonly all?: true
  readonly workers?: number
}

/** `verify`: reads the repository and proves every byte. */
export function registerVerify(program: Command, environment: CommandEnvironment): void {
  program
    .command('verify')
    .description('read what is stored and prove every byte; say what damage costs')
    .addOption(
      new Option('--sample <percent>', 'prove only the least recently proven part, such as 10')
        .argParser(readPercent)
        .conflicts('all'),
    )
    .option('--all', 'begin anew, also when a run was interrupted')
    .option('--workers <count>', 'how many workers decrypt and check', readJobCount)
    .action((options: VerifyOptions) => verify(options, environment))
}

async function verify(options: VerifyOptions, environment: CommandEnvironment): Promise<void> {
  const { configuration } = await loadAsOwner(environment)
  const { verifyCluster, listVerified } = await import('../../app/verify-cluster.ts')
  const { cluster: clusterName, repo: repoName } = environment.options
  const request = { configuration, clusterName, repoName, scope: scopeOf(options), workers: options.workers }
  const verified = await verifyCluster(request, environment.context)
  const now = environment.context.clock.now()
  const document = listVerified(verified)
  environment.answer({ document, text: (style) => toText(verified, { now, style }) })
  environment.exitWith(exitCodeOf(verified, document.isDamaged))
}

/** Damage that was found is the answer, whatever could not be looked at. */
function exitCodeOf({ failures }: VerifiedCluster, isDamaged: boolean): number {
  if (isDamaged) return operationErrors.damaged.exitCode
  const [failure] = failures
  if (failure === undefined) return 0
  return isOperationError(failure.error) ? failure.error.exitCode : 1
}

function scopeOf({ sample, all }: VerifyOptions): VerifyScope {
  if (sample !== undefined) return { kind: 'sample', percent: sample }
  return { kind: all === true ? 'anew' : 'everything' }
}

interface Look {
  readonly now: number
  readonly style: Style
}

function toText({ name, repos, failures }: VerifiedCluster, look: Look): string {
  const broken = failures.map(({ name: repo, location, error }) => {
    const message = error instanceof Error ? error.message : String(error)
    return `${look.style('red', `repo ${repo}`)} (${printable(location)}) cannot be verified: ${printable(message)}\n`
  })
  return [...repos.map((repo) => repoText(name, repo, look)), ...broken].join('\n')
}

function repoText(cluster: string, repo: VerifiedRepo, { now, style }: Look): string {
  const { proven, unreferenced, damage, state, durationMs } = repo
  const rate = formatByteSize(Math.round((proven.rawBytes / Math.max(durationMs, 1)) * 1000))
  const age = (at: number | undefined): string => (at === undefined ? 'never' : formatAge(now - at))
  const lines = [
    `${style('bold', `cluster ${cluster}`)}, repo ${repo.name}: ${printable(repo.location)}`,
    `proven:        ${formatByteSize(proven.storedBytes)} of ${formatByteSize(repo.storedBytes)} in ${proven.objects} objects${passedOverText(repo)}`,
    `content:       ${formatByteSize(proven.rawBytes)} in ${formatDuration(durationMs)} (${rate}/s)`,
    `all of it:     ${age(state.lastCompletedAtMs)}; the oldest proof: ${age(state.oldestProofAtMs)}`,
    ...(unreferenced.packs === 0
      ? []
      : [
          `not needed:    ${formatByteSize(unreferenced.bytes)} in ${unreferenced.packs} packs, or of a backup that is being taken`,
        ]),
    ...(repo.unknownObjects === 0
      ? []
      : [`not looked at: ${repo.unknownObjects} objects that this version does not know`]),
  ]
  const verdict =
    damage.length === 0
      ? `${style('green', 'everything that was read is as it was written')}\n`
      : damageText(damage, { now, style })
  return lines.map((line) => `${line}\n`).join('') + verdict
}

function passedOverText({ passedOverBytes }: VerifiedRepo): string {
  if (passedOverBytes === 0) return ''
  return `; ${formatByteSize(passedOverBytes)} were proven by the run that this one goes on with`
}

function readPercent(text: string): number {
  const percent = /^\d{1,3}(?:\.\d{1,3})?%?$/.test(text) ? Number.parseFloat(text) : 0
  if (percent > 0 && percent <= 100) return percent
  throw new InvalidArgumentError('Expected a part in percent, such as 10.')
}
