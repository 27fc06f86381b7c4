import { access } from 'node:fs/promises'
import { dirname } from 'node:path'
import { hasSystemCode, makeFolderDurably, publishDurably } from '../platform/durable-file.ts'
import { randomBytes } from '../platform/random.ts'

/** Makes a key file of 32 random bytes for its owner only, unless something is there. Durable when this resolves. */
export async function makeKeyFile(path: string): Promise<'created' | 'exists'> {
  await makeFolderDurably(dirname(path), 0o700)
  if (await isKeyFileThere(path)) return 'exists'
  const text = `${Buffer.from(randomBytes(32)).toString('hex')}\n`
  return publishDurably(path, Buffer.from(text), 0o600)
}

/** True when the path has something, whatever that is. */
export async function isKeyFileThere(path: string): Promise<boolean> {
  try {
    await access(path)
    return true
  } catch (error) {
    if (hasSystemCode(error, 'ENOENT', 'ENOTDIR')) return false
    throw error
  }
}
