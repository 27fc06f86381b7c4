import { readFileSync } from 'node:fs'
import { userInfo } from 'node:os'

/** The operating system's user that runs the servers: PostgreSQL refuses to run as root. */
export interface ServerUser {
  readonly name: string
  readonly uid: number
  readonly gid: number
}

/** As root: `postgres` if there is such a user, else `nobody`. Otherwise the current user. */
export function serverUser(): ServerUser {
  if (!isRoot()) {
    const { username, uid, gid } = userInfo()
    return { name: username, uid, gid }
  }
  const user = readUsers().find(({ name }) => name === 'postgres') ?? readUsers().find(isNobody)
  if (user === undefined) throw new Error('/etc/passwd has neither "postgres" nor "nobody" to run servers as')
  return user
}

/** What `spawn` needs to start a process as `user`: nothing unless we are root. */
export function identityOf(user: ServerUser): { uid?: number; gid?: number } {
  return isRoot() ? { uid: user.uid, gid: user.gid } : {}
}

export function isRoot(): boolean {
  return process.getuid?.() === 0
}

function isNobody({ name }: ServerUser): boolean {
  return name === 'nobody'
}

function readUsers(): ServerUser[] {
  return readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
    .map(([name = '', , uid, gid]) => ({ name, uid: Number(uid), gid: Number(gid) }))
}
