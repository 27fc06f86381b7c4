import { OperationError, type OperationErrorCode } from '../../domain/operation-error.ts'
import { describeSystemError, isSystemError } from '../../platform/durable-file.ts'

interface Verdict {
  readonly code: OperationErrorCode
  readonly hint: string
}

const full: Verdict = {
  code: 'no-space',
  hint: 'Free space there, or raise the quota, and run the command again.',
}
const gone: Verdict = {
  code: 'store-unreachable',
  hint: 'Check that the disk or network file system is mounted and answers.',
}
const refused: Verdict = {
  code: 'store-failed',
  hint: 'Give the user that runs Holdfast access to the whole directory tree.',
}
const readOnly: Verdict = {
  code: 'store-failed',
  hint: 'The file system is mounted read-only: find out why, then mount it for writing.',
}
const withoutLinks: Verdict = {
  code: 'store-failed',
  hint: 'Use one file system that has hard links for the whole repository: they are how an object appears at once and complete.',
}
const broken: Verdict = {
  code: 'store-failed',
  hint: 'Look into the system log for errors of this disk or file system.',
}

const verdicts: Readonly<Record<string, Verdict>> = {
  ENOSPC: full,
  EDQUOT: full,
  ESTALE: gone,
  ENOTCONN: gone,
  ETIMEDOUT: gone,
  EHOSTDOWN: gone,
  EHOSTUNREACH: gone,
  ENODEV: gone,
  ENXIO: gone,
  EACCES: refused,
  EROFS: readOnly,
  EXDEV: withoutLinks,
  ENOTSUP: withoutLinks,
  EOPNOTSUPP: withoutLinks,
  ENOSYS: withoutLinks,
  EMLINK: withoutLinks,
}

/**
 * What the operator is told about an error of the operating system while doing `doing`; any other error as it is.
 * EPERM has two meanings: link(2) gives it where there are no hard links, the other calls where access is refused.
 */
export function storeFailure(doing: string, error: unknown): unknown {
  if (!isSystemError(error)) return error
  const isLink = 'syscall' in error && error.syscall === 'link'
  const forEperm = isLink ? withoutLinks : refused
  const { code, hint } = error.code === 'EPERM' ? forEperm : (verdicts[error.code] ?? broken)
  return new OperationError(code, `${doing}: ${describeSystemError(error)}`, { hint, cause: error })
}
