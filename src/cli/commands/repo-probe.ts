import type { Command } from 'commander'
import type { ProbeDocument } from '../../api/repository-document.ts'
import type { ProbedRepository } from '../../app/probe-repository.ts'
import { formatByteSize } from '../../domain/byte-size.ts'
import { formatDuration } from '../../domain/duration.ts'
import { operationErrors } from '../../domain/operation-error.ts'
import type { CommandEnvironment } from '../command-environment.ts'
import { loadForRepo } from '../load-for-repo.ts'
import { printable, type Style } from '../output/text.ts'

/** `repo probe`: tries out whether a store keeps its promises. */
export function registerRepoProbe(repo: Command, environment: CommandEnvironment): void {
  repo
    .command('probe')
    .description('try out whether the store keeps what a repository needs, and how fast it is')
    .action(() => probe(environment))
}

async function probe(environment: CommandEnvironment): Promise<void> {
  const { repo } = await loadForRepo(environment)
  const { probeRepository } = await import('../../app/probe-repository.ts')
  const probed = await probeRepository(repo, environment.context)
  const document = toDocument(probed)
  environment.answer({ document, text: (style) => toText(probed, style) })
  if (!document.isFit) environment.exitWith(operationErrors['check-failed'].exitCode)
}

function toDocument({ promises, protection, ...probed }: ProbedRepository): ProbeDocument {
  return {
    version: 1,
    isFit: promises.every(({ fault }) => fault === undefined),
    ...probed,
    protection:
      protection === undefined
        ? null
        : { keepsVersions: protection.keepsVersions ?? null, canLock: protection.canLock ?? null },
    promises: promises.map(({ name, fault }) => ({ name, fault: fault ?? null })),
  }
}

/** More, and times of two machines cannot be compared. The store tells whole seconds. */
const closeMs = 5000

function toText(probed: ProbedRepository, style: Style): string {
  const { promises, clockDifferenceMs } = probed
  const apart = `${formatDuration(Math.abs(clockDifferenceMs))} ${clockDifferenceMs > 0 ? 'behind' : 'ahead of'} this machine`
  return [
    `${style('bold', `repo ${probed.repo}`)}: ${printable(probed.location)}`,
    ...promises.map(({ name, fault }) =>
      fault === undefined
        ? `${style('green', 'ok')}      ${name}`
        : `${style('red', 'broken')}  ${name}: ${printable(fault)}`,
    ),
    Math.abs(clockDifferenceMs) <= closeMs
      ? `${style('green', 'ok')}      its clock agrees with this machine's`
      : `${style('yellow', 'clock')}   its clock is ${apart}`,
    `write:  ${probed.writeLatencyMs} ms for a small object, ${formatByteSize(probed.writeBytesPerSecond)}/s for a large one`,
    `read:   ${probed.readLatencyMs} ms for a small object, ${formatByteSize(probed.readBytesPerSecond)}/s for a large one`,
    ...protectionLines(probed),
    ...(probed.leftCount === 0
      ? []
      : [
          `keys:   may add and not delete; ${probed.leftCount} objects of the probe are left, for a probe by others`,
        ]),
    promises.every(({ fault }) => fault === undefined)
      ? 'The store is fit for a repository.'
      : style('red', 'The store is not fit for a repository: backups could be lost without a sign.'),
  ]
    .map((line) => `${line}\n`)
    .join('')
}

function protectionLines({ protection }: ProbedRepository): readonly string[] {
  if (protection === undefined) return []
  const { keepsVersions, canLock } = protection
  return [`bucket: keeps versions: ${wordFor(keepsVersions)}; object lock: ${wordFor(canLock)}`]
}

function wordFor(known: boolean | undefined): string {
  if (known === undefined) return 'not known'
  return known ? 'yes' : 'no'
}
