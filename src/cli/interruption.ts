import { OperationError } from '../domain/operation-error.ts'
import { endProcess } from '../platform/end-process.ts'
import { immediateExitCode } from './failure-exit-code.ts'

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** Exit code of a process that a person interrupted: 128 + SIGINT. */
const interrupted = 130

/**
 * Turns the first SIGINT, SIGTERM or SIGHUP into an abort of the returned signal, so that the run ends in order, and the
 * second into an end at once. Disposing it lets go of the process's signals.
 */
export function listenForInterruption(
  argv: readonly string[],
): Disposable & { readonly signal: AbortSignal } {
  const controller = new AbortController()
  const onSignal = (name: NodeJS.Signals): void => {
    const immediate = immediateExitCode(argv, name) ?? (controller.signal.aborted ? interrupted : undefined)
    // Nobody waits for output that is still pending: the operator asked twice, or PostgreSQL is going down.
    if (immediate !== undefined) endProcess(immediate)
    controller.abort(
      new OperationError('cancelled', `stopped by ${name}`, {
        hint: 'Run the command again; what it had not finished does not count.',
      }),
    )
  }
  for (const name of signals) process.on(name, onSignal)
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      for (const name of signals) process.off(name, onSignal)
    },
  }
}
