import { join } from 'node:path'
import type { AtDocument } from '../api/at-document.ts'
import { parseDurationMs } from '../domain/duration.ts'
import { formatLsn } from '../domain/lsn.ts'
import { isOperationError, OperationError } from '../domain/operation-error.ts'
import { parseRecoveryTarget } from '../domain/recovery-target.ts'
import type { RunContext } from '../domain/run-context.ts'
import { formatInstant, instantFromMs } from '../domain/target-time.ts'
import { serveRequests } from '../platform/request-socket.ts'
import { lastCommitAt } from '../sandbox/last-commit.ts'
import type { Sandbox } from '../sandbox/open-sandbox.ts'
import { decodeAdvance, encodeAnswer, type AdvanceRequest } from './advance-protocol.ts'

export const controlSocket = 'control.sock'

/**
 * Keeps a sandbox until its time is over, somebody stops us, or its server ends by itself, which is thrown. Meanwhile it goes
 * on to later targets when `at --advance` asks: by this process and no other, so that neither the end of its time nor a
 * second request comes between.
 */
export class SandboxKeeper {
  readonly #sandbox: Sandbox
  readonly #context: RunContext
  #untilMs: number
  #advancing: Promise<void> | undefined
  #isOver = false

  constructor(sandbox: Sandbox, keepMs: number, context: RunContext) {
    this.#sandbox = sandbox
    this.#context = context
    this.#untilMs = context.clock.now() + keepMs
  }

  /** What it is now. */
  get document(): AtDocument {
    const { filesMs, recoveryMs } = this.#sandbox.restored
    return documentOf(this.#sandbox, { untilMs: this.#untilMs, filesMs, recoveryMs })
  }

  async stay(): Promise<void> {
    const { clock, signal } = this.#context
    const path = join(this.#sandbox.conninfo.host, controlSocket)
    await using _ = await serveRequests(path, (request) => this.#answer(request))
    while (!this.#isStopped() && (this.#advancing !== undefined || clock.now() < this.#untilMs)) {
      const ended = new AbortController()
      const over = clock.sleep(
        Math.max(0, this.#untilMs - clock.now()),
        AbortSignal.any([signal, ended.signal]),
      )
      await Promise.race([over.catch(() => undefined), this.#sandbox.server.exited])
      ended.abort()
      // Its server ends and another one comes: what became of it shows when that is done.
      await this.#advancing
      if (!this.#sandbox.server.isAlive() && !this.#isStopped()) throw endedEarly()
    }
    this.#isOver = true
  }

  #isStopped(): boolean {
    return this.#context.signal.aborted
  }

  async #answer(text: string): Promise<string> {
    try {
      return encodeAnswer({ kind: 'done', document: await this.#advance(decodeAdvance(text)) })
    } catch (error) {
      // Our own going on does not depend on what was asked: whoever asked is told, also of what is no failure of the world.
      const { code, message, hint } = isOperationError(error)
        ? error
        : new OperationError('server-failed', `going on with a sandbox: ${String(error)}`)
      return encodeAnswer({ kind: 'failed', code, message, hint })
    }
  }

  async #advance({ options, keep }: AdvanceRequest): Promise<AtDocument> {
    const keepMs = parseDurationMs(keep)
    const { clock } = this.#context
    if (this.#isOver) throw isGone()
    const begun = clock.monotonic()
    const going = this.#sandbox.advance?.(parseRecoveryTarget(options), this.#context)
    if (going === undefined) throw isPromoted()
    this.#advancing = going.catch(() => undefined)
    try {
      await going
      this.#untilMs = clock.now() + keepMs
    } finally {
      this.#advancing = undefined
    }
    const times = { filesMs: 0, recoveryMs: clock.monotonic() - begun }
    return documentOf(this.#sandbox, { untilMs: this.#untilMs, ...times })
  }
}

interface Times {
  readonly untilMs: number
  readonly filesMs: number
  readonly recoveryMs: number
}

function documentOf(sandbox: Sandbox, { untilMs, filesMs, recoveryMs }: Times): AtDocument {
  const { conninfo, plan, reached, hasNetwork, path, advance } = sandbox
  const { host, port, user, dbname } = conninfo
  return {
    version: 1,
    connection: `host=${host} port=${port} user=${quoted(user)} dbname=${dbname}`,
    sandbox: path,
    isPaused: advance !== undefined,
    backup: plan.backup.label,
    timeline: reached.timeline,
    reachedLsn: formatLsn(reached.lsn),
    lastCommitAt: lastCommitAt(reached) ?? null,
    keptUntil: formatInstant(instantFromMs(untilMs)),
    hasNetwork,
    filesMs: Math.round(filesMs),
    recoveryMs: Math.round(recoveryMs),
  }
}

/** A value of a connection string. */
const quoted = (value: string): string =>
  /^[A-Za-z0-9_.-]+$/.test(value) ? value : `'${value.replaceAll(/['\\]/g, (character) => `\\${character}`)}'`

function endedEarly(): OperationError {
  return new OperationError('server-failed', 'the throw-away server ended before its time', {
    hint: 'Nothing of the cluster is touched; run the command again.',
  })
}

export function isGone(): OperationError {
  return new OperationError('not-found', 'going on with a sandbox: expected one that is kept, found none', {
    hint: 'Name the directory that "holdfast at --paused" has told; its time may be over.',
  })
}

function isPromoted(): OperationError {
  return new OperationError('target-unreachable', 'going on with a sandbox: its recovery has ended', {
    hint: 'Open one with "holdfast at --paused": it stays in recovery and can go on.',
  })
}
