/**
 * The one table of failures of the world that an operator must act on.
 *
 * Exit codes are the command line's contract: 1 a retry may cure it, 2 usage or configuration, 3 the target cannot be
 * reached, 4 damage found, 5 refused because something would be lost or overwritten, 6 nothing found.
 */
export const operationErrors = {
  // 1: a retry may cure it
  'server-unreachable': { exitCode: 1, retryable: true },
  'server-failed': { exitCode: 1, retryable: true },
  'server-lacks-privilege': { exitCode: 1, retryable: false },
  'store-unreachable': { exitCode: 1, retryable: true },
  'store-failed': { exitCode: 1, retryable: true },
  'no-space': { exitCode: 1, retryable: true },
  'file-unreadable': { exitCode: 1, retryable: false },
  'file-unwritable': { exitCode: 1, retryable: false },
  busy: { exitCode: 1, retryable: true },
  'lease-lost': { exitCode: 1, retryable: true },
  'archive-timeout': { exitCode: 1, retryable: true },
  'backup-interrupted': { exitCode: 1, retryable: true },
  'recovery-failed': { exitCode: 1, retryable: false },
  'check-failed': { exitCode: 1, retryable: true },
  'dump-failed': { exitCode: 1, retryable: true },
  'load-failed': { exitCode: 1, retryable: false },
  cancelled: { exitCode: 1, retryable: true },
  // 2: usage or configuration
  usage: { exitCode: 2, retryable: false },
  'config-invalid': { exitCode: 2, retryable: false },
  'config-missing': { exitCode: 2, retryable: false },
  'server-unsuitable': { exitCode: 2, retryable: false },
  'binaries-missing': { exitCode: 2, retryable: false },
  'repository-missing': { exitCode: 2, retryable: false },
  'repository-foreign': { exitCode: 2, retryable: false },
  'format-newer': { exitCode: 2, retryable: false },
  'key-wrong': { exitCode: 2, retryable: false },
  'key-missing': { exitCode: 2, retryable: false },
  'cluster-unknown': { exitCode: 2, retryable: false },
  // 3: the target cannot be reached
  'target-unreachable': { exitCode: 3, retryable: false },
  'target-ambiguous': { exitCode: 3, retryable: false },
  'wal-missing': { exitCode: 3, retryable: false },
  // 4: damage found
  damaged: { exitCode: 4, retryable: false },
  'pages-damaged': { exitCode: 4, retryable: false },
  'audit-failed': { exitCode: 4, retryable: false },
  // 5: refused
  'cluster-mismatch': { exitCode: 5, retryable: false },
  'config-differs': { exitCode: 5, retryable: false },
  'repository-occupied': { exitCode: 5, retryable: false },
  'repositories-differ': { exitCode: 5, retryable: false },
  'segment-invalid': { exitCode: 5, retryable: false },
  'directory-occupied': { exitCode: 5, retryable: false },
  'database-occupied': { exitCode: 5, retryable: false },
  'server-running': { exitCode: 5, retryable: false },
  'path-unsafe': { exitCode: 5, retryable: false },
  'link-refused': { exitCode: 5, retryable: false },
  'not-confirmed': { exitCode: 5, retryable: false },
  'key-in-use': { exitCode: 5, retryable: false },
  'repository-went-back': { exitCode: 5, retryable: false },
  'clock-doubtful': { exitCode: 5, retryable: false },
  'backup-pinned': { exitCode: 5, retryable: false },
  'last-backup': { exitCode: 5, retryable: false },
  // 6: nothing found
  'not-found': { exitCode: 6, retryable: false },
} as const satisfies Record<string, { exitCode: 1 | 2 | 3 | 4 | 5 | 6; retryable: boolean }>

export type OperationErrorCode = keyof typeof operationErrors

interface OperationErrorOptions {
  /** One sentence that names the next step. */
  readonly hint?: string
  readonly cause?: unknown
}

/**
 * A failure of the world. The message says what was being done, to what, what was expected and what was found: lower
 * case, no full stop. Mistakes in our own code are not this: they are assertions.
 */
export class OperationError extends Error {
  override readonly name = 'OperationError'
  readonly code: OperationErrorCode
  readonly hint: string | undefined

  constructor(code: OperationErrorCode, message: string, options: OperationErrorOptions = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined)
    this.code = code
    this.hint = options.hint
  }

  get exitCode(): number {
    return operationErrors[this.code].exitCode
  }

  get isRetryable(): boolean {
    return operationErrors[this.code].retryable
  }
}

/** True when `error` is an `OperationError`, with this code if one is given. */
export function isOperationError(error: unknown, code?: OperationErrorCode): error is OperationError {
  return error instanceof OperationError && (code === undefined || error.code === code)
}
