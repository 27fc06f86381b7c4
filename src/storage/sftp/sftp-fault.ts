import type { StoreFailure } from '../call-with-retry.ts'

type Verdict = Pick<StoreFailure, 'found' | 'hint'> & Partial<StoreFailure>

/** Something that a connection or a server did, judged where it was seen. Never what the server says in words: that may be anything. */
export class SftpFault extends Error {
  override readonly name = 'SftpFault'
  readonly failure: StoreFailure

  constructor(verdict: Verdict, cause?: unknown) {
    super(verdict.found, cause === undefined ? undefined : { cause })
    this.failure = {
      isTransient: false,
      hasAnswered: true,
      isThrottling: false,
      retryAfterMs: 0,
      code: 'store-failed',
      ...verdict,
    }
  }
}

/** An answer of the server that is not success: `code` as in draft-ietf-secsh-filexfer-02, 7. */
export class SftpStatus extends Error {
  override readonly name = 'SftpStatus'
  readonly code: number

  constructor(code: number) {
    super(`the server answered ${statusNames[code] ?? `status ${code}`}`)
    this.code = code
  }
}

const statusNames: Readonly<Record<number, string>> = {
  1: 'SSH_FX_EOF',
  2: 'SSH_FX_NO_SUCH_FILE',
  3: 'SSH_FX_PERMISSION_DENIED',
  4: 'SSH_FX_FAILURE',
  5: 'SSH_FX_BAD_MESSAGE',
  6: 'SSH_FX_NO_CONNECTION',
  7: 'SSH_FX_CONNECTION_LOST',
  8: 'SSH_FX_OP_UNSUPPORTED',
}

/** True for SSH_FX_NO_SUCH_FILE. OpenSSH says so also for ENOTDIR and ELOOP. */
export function isAbsence(error: unknown): boolean {
  return error instanceof SftpStatus && error.code === 2
}

/** Undefined when what was asked for is not there. */
export async function unlessAbsent<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked
  } catch (error) {
    if (isAbsence(error)) return undefined
    throw error
  }
}

/** True for SSH_FX_FAILURE, which stands for everything that has no status of its own: EEXIST, ENOTEMPTY, EISDIR, ENOSPC, EIO. */
export function isPlainFailure(error: unknown): boolean {
  return error instanceof SftpStatus && error.code === 4
}

/** What an error means for the call. Undefined: a mistake of ours. */
export function judgeSftpError(error: unknown): StoreFailure | undefined {
  if (error instanceof SftpFault) return error.failure
  return error instanceof SftpStatus ? new SftpFault(statusVerdict(error)).failure : undefined
}

function statusVerdict({ code, message: found }: SftpStatus): Verdict {
  switch (code) {
    case 2:
      return { found, hint: 'Find out what removes directories of the repository on the server.' }
    case 3:
      return { found, hint: 'Give the user on the server access to the whole directory tree.' }
    case 6:
    case 7:
      return { found, isTransient: true, hint: lostHint }
    case 8:
      return { found, hint: 'Use a server that has what docs/sftp.md lists.' }
    default:
      return {
        found,
        hint: 'Look into the log of the server and of its system: a full disk, a quota, an error of the disk.',
      }
  }
}

const lostHint = 'Check the network between this machine and the server, and whether it runs.'

/** The connection is gone, or silent for too long. Trying again may help. */
export function lostConnection(found: string, cause?: unknown): SftpFault {
  return new SftpFault(
    { code: 'store-unreachable', isTransient: true, hasAnswered: false, found, hint: lostHint },
    cause,
  )
}
