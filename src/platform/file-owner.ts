import { stat } from 'node:fs/promises'
import { OperationError } from '../domain/operation-error.ts'

export interface FileOwner {
  readonly uid: number
  readonly gid: number
}

/**
 * Who must run a program that works on `path` as its owner: undefined when that is who we are. Only root can become
 * somebody else, so for anybody else a foreign owner is an error; so is root itself where `path` belongs to root.
 */
export async function ownerToRunAs(path: string): Promise<FileOwner | undefined> {
  const { uid, gid } = await lookAt(path)
  const self = process.geteuid?.()
  if (uid === 0) {
    throw new OperationError(
      'path-unsafe',
      `"${path}" belongs to root, expected the user that PostgreSQL runs as`,
      {
        hint: 'PostgreSQL does not run as root: give the directory to the user "postgres" with chown -R.',
      },
    )
  }
  if (uid === self) return undefined
  if (self === 0) return { uid, gid }
  throw new OperationError(
    'path-unsafe',
    `"${path}" belongs to user ${uid}, but this is user ${self ?? 'unknown'}`,
    {
      hint: 'Run the command as the owner of the directory, or as root.',
    },
  )
}

async function lookAt(path: string): Promise<FileOwner> {
  try {
    const { uid, gid } = await stat(path)
    return { uid, gid }
  } catch (cause) {
    throw new OperationError('file-unreadable', `cannot look at "${path}"`, { cause })
  }
}
