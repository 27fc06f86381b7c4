import { constants, open, unlink } from 'node:fs/promises'
import { OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'
import type { RunContext } from '../domain/run-context.ts'
import { releaseMemory } from '../platform/release-memory.ts'
import { hasSystemCode, writeFailure } from '../platform/durable-file.ts'

/**
 * Writes a dump as pg_dump wrote it to a new file of this user's alone, for psql or pg_restore: complete when this resolves,
 * else it is removed. Takes the memory of the chunks. Throws `not-confirmed` when there is such a file, and what `chunks` throws.
 */
export async function writeDumpFile(
  path: string,
  chunks: AsyncIterable<Uint8Array>,
  { signal }: Pick<RunContext, 'signal'>,
): Promise<void> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
  const file = await open(path, flags, 0o600).catch((error: unknown) => {
    throw hasSystemCode(error, 'EEXIST') ? occupied(path) : writeFailure(path, error)
  })
  try {
    for await (const chunk of chunks) {
      signal.throwIfAborted()
      for (let rest = chunk; rest.length > 0;) {
        const { bytesWritten } = await file.write(rest)
        rest = rest.subarray(bytesWritten)
      }
      releaseMemory(chunk)
    }
    await file.sync()
    await file.close()
  } catch (error) {
    await file.close().catch(() => undefined)
    await unlink(path).catch(() => undefined)
    throw writeFailure(path, error)
  }
}

function occupied(path: string): OperationError {
  return new OperationError(
    'not-confirmed',
    `writing a dump to ${quote(path)}: there is such a file already`,
    {
      hint: 'Name a file that is not there.',
    },
  )
}
