import type { FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { readTar } from '../codec/tar.ts'
import type { RunContext } from '../domain/run-context.ts'
import { writeFailure } from '../platform/durable-file.ts'
import { releasing } from '../platform/release-memory.ts'
import { createPrivately, writeAll } from './private-file.ts'

interface Unpacking {
  /** Empty. */
  readonly folder: string
  /** Default: all of them. */
  readonly isWanted?: (name: string) => boolean
}

/**
 * Writes what `directoryOutput` gave as a directory again, of this user's alone. What is there when it fails is for the caller
 * to remove. Nobody may read the chunks any more. Throws `damaged`, and what `chunks` throws.
 */
export async function unpackDirectory(
  { folder, isWanted = () => true }: Unpacking,
  chunks: AsyncIterable<Uint8Array>,
  { signal }: Pick<RunContext, 'signal'>,
): Promise<void> {
  let file: FileHandle | undefined
  const close = async (): Promise<void> => {
    await file?.sync()
    await file?.close()
    file = undefined
  }
  try {
    for await (const { entry, bytes } of readTar(releasing(chunks))) {
      signal.throwIfAborted()
      if (bytes === undefined) {
        await close()
        file = isWanted(entry.name) ? await createPrivately(join(folder, entry.name)) : undefined
      } else if (file !== undefined) await writeAll(file, bytes)
    }
    await close()
  } catch (error) {
    throw writeFailure(folder, error)
  } finally {
    await file?.close()
  }
}
