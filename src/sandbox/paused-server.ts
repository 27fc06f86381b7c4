import { join } from 'node:path'
import type { RecoveryTarget } from '../domain/recovery-target.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { ServerBinaries } from '../postgres/binaries.ts'
import { readControlFile } from '../postgres/control-file.ts'
import type { PrivateServer } from '../postgres/server-process.ts'
import { pauseAtStop, type Reached, type RecoveryPlan } from '../restore/drive-recovery.ts'
import { planAdvance } from '../restore/plan-advance.ts'
import { recoverySettings } from '../restore/recovery-settings.ts'
import type { RestoreTools } from '../restore/run-restore.ts'
import { writeRecoveryTarget } from '../restore/write-recovery-files.ts'
import { pausedSettings } from './sandbox-settings.ts'

export interface PausedPlace {
  readonly binaries: ServerBinaries
  readonly tools: RestoreTools
  readonly socketDirectory: string
  readonly configFile: string
  readonly logFile: string
  readonly launcher: readonly string[] | undefined
}

/** The server of a sandbox that stays in recovery, paused at its target, so that it can go on to a later one. */
export class PausedSandboxServer implements AsyncDisposable {
  readonly #place: PausedPlace
  #plan: RecoveryPlan
  #server: PrivateServer
  #reached: Reached

  private constructor(
    place: PausedPlace,
    plan: RecoveryPlan,
    { server, reached }: { readonly server: PrivateServer; readonly reached: Reached },
  ) {
    this.#place = place
    this.#plan = plan
    this.#server = server
    this.#reached = reached
  }

  /** Starts a server on a directory that was shut down in its recovery, at the stop of the plan. */
  static async start(
    place: PausedPlace,
    plan: RecoveryPlan,
    context: RunContext,
  ): Promise<PausedSandboxServer> {
    return new PausedSandboxServer(place, plan, await pause(place, plan, context))
  }

  get server(): PrivateServer {
    return this.#server
  }

  get reached(): Reached {
    return this.#reached
  }

  /**
   * Goes on to a later target, with the same connection afterwards. It is planned first: what the plan refuses (see
   * `planAdvance`) leaves the server as it is. When it fails later the server is gone.
   */
  async advance(target: RecoveryTarget, context: RunContext): Promise<void> {
    const { place } = this.#place.tools
    const restoreCommand = this.#place.tools.restoreCommand(place.spares)
    const dataDirectory = this.#plan.request.targetDirectory
    const { control } = await readControlFile(join(dataDirectory, 'global/pg_control'), context)
    const paused = { plan: this.#plan, reached: this.#reached, redoLsn: control.redoLsn }
    const plan = await planAdvance(target, paused, { place, context })
    await this.#server.stop('fast', context)
    const settings = { ...plan, action: 'pause', restoreCommand, continuesLineage: false } as const
    await writeRecoveryTarget(dataDirectory, recoverySettings(settings))
    const { server, reached } = await pause(this.#place, plan, context)
    this.#server = server
    this.#reached = reached
    this.#plan = plan
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server[Symbol.asyncDispose]()
  }
}

async function pause(
  { binaries, tools, socketDirectory, configFile, logFile, launcher }: PausedPlace,
  plan: RecoveryPlan,
  context: RunContext,
): Promise<{ readonly server: PrivateServer; readonly reached: Reached }> {
  const { control } = await readControlFile(join(plan.request.targetDirectory, 'global/pg_control'), context)
  const settings = pausedSettings(control, binaries.major, { configFile })
  const staying = { socketDirectory, settings, logFile, ...(launcher && { launcher }) }
  return pauseAtStop({ plan, binaries, roles: tools.roles, staying }, context)
}
