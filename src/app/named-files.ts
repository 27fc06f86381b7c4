import { readFile } from 'node:fs/promises'
import { readSecretFile } from '../config/read-secret-file.ts'
import { OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'
import { describeSystemError, isSystemError } from '../platform/durable-file.ts'

/** The text of a secret file, as `readSecretFile` reads it. */
export async function readSecretText(path: string): Promise<string> {
  return (await readSecretFile(path)).toString('utf8')
}

/** A file that is no secret. `setting` is what names it. */
export async function readNamedFile(path: string, setting: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    if (!isSystemError(cause)) throw cause
    throw new OperationError('file-unreadable', `reading ${quote(path)}: ${describeSystemError(cause)}`, {
      cause,
      hint: `Correct ${setting} of the repo, or give the file to the user who runs the tool.`,
    })
  }
}
