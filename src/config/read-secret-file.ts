import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'

/** Keys and passphrases are short; what is larger is something else. */
const mostBytes = 64 * 1024

const newline = 0x0a
const carriageReturn = 0x0d

/**
 * Reads a key or passphrase file and takes one newline off its end. Refuses a file that others could have read or put
 * there, by the rule that PostgreSQL has for its TLS keys: owned by this user and mode 0600 or less, or owned by root and
 * mode 0640 or less; a regular file and no symbolic link. What is in it never shows in an error.
 */
export async function readSecretFile(path: string): Promise<Buffer> {
  try {
    // O_NOFOLLOW: whoever may plant a link does not choose what is read. O_NONBLOCK: a named pipe does not hold us up.
    await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    await refuseExposed(file, path)
    const content = await file.readFile()
    return content.subarray(0, content.length - newlineLength(content))
  } catch (error) {
    throw describeFailure(path, error)
  }
}

async function refuseExposed(file: FileHandle, path: string): Promise<void> {
  const status = await file.stat()
  if (!status.isFile()) throw refused(path, 'a regular file', 'something else')
  refuseForeign(status, path)
  if (status.size > mostBytes) throw refused(path, `at most ${mostBytes} bytes`, `${status.size}`)
  if (status.size === 0) throw refused(path, 'a secret', 'an empty file')
}

function refuseForeign({ uid, mode }: { readonly uid: number; readonly mode: number }, path: string): void {
  const ownUid = process.geteuid?.() ?? 0
  if (uid !== ownUid && uid !== 0) {
    throw refused(path, `a file of this user (uid ${ownUid}) or of root`, `one of uid ${uid}`)
  }
  const allowed = uid === 0 ? 0o640 : 0o600
  if ((mode & 0o777 & ~allowed) !== 0)
    throw refused(path, `mode ${octal(allowed)} or less`, `mode ${octal(mode & 0o777)}`)
}

function octal(mode: number): string {
  return mode.toString(8).padStart(4, '0')
}

function newlineLength(content: Buffer): number {
  if (content.at(-1) !== newline) return 0
  return content.at(-2) === carriageReturn ? 2 : 1
}

function refused(path: string, expected: string, found: string): OperationError {
  return new OperationError(
    'config-invalid',
    `reading the secret file ${quote(path)}: expected ${expected}, found ${found}`,
    {
      hint: `Keep the secret in a file of its own: owned by the user who runs the tool, "chmod 600 ${path}".`,
    },
  )
}

/** The failures of the system in the operator's words; everything else as it is. */
function describeFailure(path: string, error: unknown): unknown {
  if (!(error instanceof Error && 'syscall' in error && 'code' in error)) return error
  if (error.code === 'ELOOP') return refused(path, 'a regular file', 'a symbolic link')
  if (error.code === 'ENOENT') {
    return new OperationError(
      'key-missing',
      `reading the secret file ${quote(path)}: there is no such file`,
      {
        cause: error,
        hint: 'Put the file back from where it is kept safely; without it the repository cannot be read.',
      },
    )
  }
  return new OperationError(
    'file-unreadable',
    `reading the secret file ${quote(path)}: ${String(error.code)}`,
    {
      cause: error,
      hint: 'Give the file to the user who runs the tool.',
    },
  )
}
