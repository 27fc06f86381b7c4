import { readFileSync } from 'node:fs'

/** A user of this machine, as /etc/passwd knows it. */
export interface UnixUser {
  readonly name: string
  readonly uid: number
  readonly gid: number
  readonly home: string
}

/** Finds a user by name or by uid; undefined when /etc/passwd has no such line. */
export function findUnixUser(wanted: string | number, passwdFile = '/etc/passwd'): UnixUser | undefined {
  return parsePasswd(readFileSync(passwdFile, 'utf8')).find((user) =>
    typeof wanted === 'string' ? user.name === wanted : user.uid === wanted,
  )
}

/** The ids of the groups that /etc/group lists the user as a member of, besides the user's own group. */
export function supplementaryGroups(userName: string, groupFile = '/etc/group'): readonly number[] {
  return parseGroups(readFileSync(groupFile, 'utf8'))
    .filter(({ members }) => members.includes(userName))
    .map(({ gid }) => gid)
}

/** Reads the lines of group(5). Lines that are not of its shape are passed over. */
export function parseGroups(
  text: string,
): readonly { readonly gid: number; readonly members: readonly string[] }[] {
  return text.split('\n').flatMap((line) => {
    const [name, , gid, members] = line.split(':')
    if (name === undefined || name === '' || name.startsWith('#')) return []
    if (gid === undefined || members === undefined || !/^\d{1,10}$/.test(gid)) return []
    return [{ gid: Number(gid), members: members.split(',').map((member) => member.trim()) }]
  })
}

/** Reads the lines of passwd(5). Lines that are not of its shape are passed over, as getpwnam(3) does. */
export function parsePasswd(text: string): readonly UnixUser[] {
  return text.split('\n').flatMap((line) => {
    const [name, , uid, gid, , home, shell] = line.split(':')
    if (name === undefined || name === '' || name.startsWith('#') || shell === undefined) return []
    if (uid === undefined || gid === undefined || home === undefined) return []
    if (!/^\d{1,10}$/.test(uid) || !/^\d{1,10}$/.test(gid)) return []
    return [{ name, uid: Number(uid), gid: Number(gid), home }]
  })
}
