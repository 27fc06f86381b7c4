import { open, type FileHandle } from 'node:fs/promises'
import { hasSystemCode } from '../platform/durable-file.ts'

/** Opens a data file to look at it again; undefined when it is gone, which the WAL tells of. */
export async function openUnlessGone(place: Buffer): Promise<FileHandle | undefined> {
  try {
    return await open(place, 'r')
  } catch (cause) {
    if (hasSystemCode(cause, 'ENOENT')) return undefined
    throw cause
  }
}
