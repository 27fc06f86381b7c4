import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { isServerStarting } from '../postgres/server-error.ts'
import { recoveryLog } from './restore-marker.ts'

const patienceMs = 2 * 60_000

/**
 * How long a server of our own that lives may let nobody in. Replaying up to where it is consistent takes hours at times:
 * as long as the server itself says that it starts, it is waited for. Every other failure, such as a socket that somebody
 * removed, is given two minutes to pass; then it ends the recovery.
 */
export class ConnectionPatience {
  readonly #dataDirectory: string
  readonly #context: RunContext
  #failingSince: number | undefined

  constructor(dataDirectory: string, context: RunContext) {
    this.#dataDirectory = dataDirectory
    this.#context = context
  }

  connected(): void {
    this.#failingSince = undefined
  }

  /** Throws `recovery-failed` when this has gone on for too long. */
  failed(failure: OperationError): void {
    if (isServerStarting(failure)) {
      this.#failingSince = undefined
      return
    }
    const now = this.#context.clock.monotonic()
    this.#failingSince ??= now
    if (now - this.#failingSince < patienceMs) return
    throw new OperationError(
      'recovery-failed',
      `recovering "${this.#dataDirectory}": the server runs, and no connection to it succeeded for 2 minutes; the last failure: ${failure.message}`,
      {
        cause: failure,
        hint: `Nothing was promoted by us; read "${recoveryLog}" in that directory, then run the same command again.`,
      },
    )
  }
}
