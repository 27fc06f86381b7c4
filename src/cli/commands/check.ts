import { InvalidArgumentError, type Command } from 'commander'
import type { CheckDocument } from '../../api/check-document.ts'
import type { CheckedCluster } from '../../app/check-cluster.ts'
import type { CheckItem } from '../../app/check-item.ts'
import { parseDurationMs } from '../../domain/duration.ts'
import { isOperationError, operationErrors } from '../../domain/operation-error.ts'
import { loadAsOwner } from '../become-owner.ts'
import type { CommandEnvironment } from '../command-environment.ts'
import { printable } from '../output/text.ts'
import type { Style } from '../output/text.ts'

const defaultTimeoutMs = 60_000

interface CheckOptions {
  readonly timeout?: number
}

/** `check`: proves the set-up end to end. */
export function registerCheck(program: Command, environment: CommandEnvironment): void {
  program
    .command('check')
    .description('prove that the set-up works: connection, settings, archiving, repositories')
    .option('--timeout <duration>', 'how long a segment may take to be archived (default: 60s)', readDuration)
    .action((options: CheckOptions) => check(options, environment))
}

async function check({ timeout }: CheckOptions, environment: CommandEnvironment): Promise<void> {
  const loaded = await loadAsOwner(environment)
  const { checkCluster } = await import('../../app/check-cluster.ts')
  const { cluster: clusterName, repo: repoName } = environment.options
  const { variables } = environment.surroundings
  const request = { loaded, clusterName, repoName, variables, timeoutMs: timeout ?? defaultTimeoutMs }
  const checked = await checkCluster(request, environment.context)
  const isHealthy = checked.items.every(({ state }) => state !== 'failed')
  const document: CheckDocument = {
    version: 1,
    cluster: checked.cluster,
    isHealthy,
    items: checked.items.map(({ name, state, message, hint }) => ({
      name,
      state,
      message,
      hint: hint ?? null,
    })),
  }
  environment.answer({ document, text: (style) => toText(checked, style) })
  if (!isHealthy) environment.exitWith(operationErrors['check-failed'].exitCode)
}

const emphasis: Readonly<Record<CheckItem['state'], Parameters<Style>[0]>> = {
  ok: 'green',
  warning: 'yellow',
  failed: 'red',
  skipped: 'dim',
  info: 'dim',
}

const stateWidth = 'warning'.length

function toText({ cluster, items }: CheckedCluster, style: Style): string {
  const width = Math.max(...items.map(({ name }) => name.length))
  const lines = items.flatMap(({ name, state, message, hint }) => [
    `${style(emphasis[state], state.padEnd(stateWidth))}  ${name.padEnd(width)}  ${printable(message)}`,
    ...(hint === undefined ? [] : [`${' '.repeat(stateWidth + width + 4)}hint: ${printable(hint)}`]),
  ])
  return [...lines, '', summary(cluster, items)].map((line) => `${line}\n`).join('')
}

function summary(cluster: string, items: readonly CheckItem[]): string {
  const count = (state: CheckItem['state']): number => items.filter((item) => item.state === state).length
  const [failed, warnings] = [count('failed'), count('warning')]
  if (failed > 0)
    return `cluster ${cluster} is not protected as it should be: ${failed} failed, ${warnings} warnings`
  return `cluster ${cluster}: everything that was tried works${warnings === 0 ? '' : `, with ${warnings} warnings`}`
}

function readDuration(text: string): number {
  try {
    const durationMs = parseDurationMs(text)
    if (durationMs > 0) return durationMs
  } catch (error) {
    if (!isOperationError(error, 'usage')) throw error
  }
  throw new InvalidArgumentError('Expected a duration such as 30s.')
}
