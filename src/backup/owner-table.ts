import { readFileSync } from 'node:fs'
import { findUnixUser } from '../platform/unix-user.ts'

/** Numbers the owners that are met, by name where the machine knows one: numbers mean nothing on another machine. */
export class OwnerTable {
  readonly names: string[] = []
  readonly #indexes = new Map<string, number>()

  /** The index of a file's owner; a new owner gets the next one. */
  indexOf({ uid, gid }: { readonly uid: number; readonly gid: number }): number {
    const key = `${uid}:${gid}`
    const known = this.#indexes.get(key)
    if (known !== undefined) return known
    const index = this.names.length
    this.#indexes.set(key, index)
    this.names.push(`${findUnixUser(uid)?.name ?? uid}:${groupName(gid) ?? gid}`)
    return index
  }
}

/** group(5) */
function groupName(gid: number): string | undefined {
  const lines = readFileSync('/etc/group', 'utf8').split('\n')
  return lines.map((line) => line.split(':')).find(([, , number]) => number === String(gid))?.[0]
}
