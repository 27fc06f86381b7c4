import { constants, open, type FileHandle } from 'node:fs/promises'

const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW

/** A new file of this user's alone. Rejects with EEXIST when there is anything under this name. */
export function createPrivately(path: string): Promise<FileHandle> {
  return open(path, flags, 0o600)
}

/** All of the bytes, where the file stands: a single write may take fewer. */
export async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let rest = bytes; rest.length > 0;) {
    const { bytesWritten } = await file.write(rest)
    rest = rest.subarray(bytesWritten)
  }
}
