import { mkdir, rm, unlink } from 'node:fs/promises'
import { OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'
import type { RunContext } from '../domain/run-context.ts'
import { releaseMemory } from '../platform/release-memory.ts'
import { hasSystemCode, writeFailure } from '../platform/durable-file.ts'
import { createPrivately, writeAll } from './private-file.ts'
import { unpackDirectory } from './unpack-directory.ts'

/**
 * Writes a dump as pg_dump wrote it to a new file of this user's alone, for psql or pg_restore: complete when this resolves,
 * else it is removed. Takes the memory of the chunks. Throws `not-confirmed` when there is such a file, and what `chunks` throws.
 */
export async function writeDumpFile(
  path: string,
  chunks: AsyncIterable<Uint8Array>,
  { signal }: Pick<RunContext, 'signal'>,
): Promise<void> {
  const file = await createPrivately(path).catch((error: unknown) => {
    throw hasSystemCode(error, 'EEXIST') ? occupied(path) : writeFailure(path, error)
  })
  try {
    for await (const chunk of chunks) {
      signal.throwIfAborted()
      await writeAll(file, chunk)
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

/**
 * Writes a dump of the directory format to a new directory of this user's alone, for pg_restore: complete when this resolves,
 * else it is removed. Throws as `writeDumpFile` does.
 */
export async function writeDumpDirectory(
  path: string,
  chunks: AsyncIterable<Uint8Array>,
  context: Pick<RunContext, 'signal'>,
): Promise<void> {
  await mkdir(path, { mode: 0o700 }).catch((error: unknown) => {
    throw hasSystemCode(error, 'EEXIST') ? occupied(path) : writeFailure(path, error)
  })
  try {
    await unpackDirectory({ folder: path }, chunks, context)
  } catch (error) {
    await rm(path, { recursive: true, force: true })
    throw error
  }
}

function occupied(path: string): OperationError {
  return new OperationError('not-confirmed', `writing a dump to ${quote(path)}: there is something already`, {
    hint: 'Name one that is not there.',
  })
}
