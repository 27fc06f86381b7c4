import { existsSync, readFileSync } from 'node:fs'
import { chmod, cp, mkdir, mkdtemp, rename, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { serverUser } from './server-user.ts'

export const supportedMajors = [14, 15, 16, 17, 18] as const
export type Major = (typeof supportedMajors)[number]

const packages = join(import.meta.dirname, '..', '..', 'node_modules')

/**
 * The folder with initdb, pg_ctl and postgres of that major, reachable by the server user. When the checkout is not (under
 * /root, say), that is a copy in the temp folder, made once per machine and version.
 */
export async function serverBinaries(major: Major): Promise<string> {
  const native = join(packages, `pg${major}`, 'native')
  if (!existsSync(join(native, 'bin', 'postgres')) || !existsSync(join(native, 'lib', 'libicuuc.so.60'))) {
    throw new Error(
      `the servers of PostgreSQL ${major} are not in "${native}": "npm ci" installs them, then "npm run setup" links their libraries`,
    )
  }
  return join((await isReachable(native)) ? native : await copyOnce(native, major), 'bin')
}

/** Whether the server user may enter every folder on the way: we may be root, who may enter anything. */
async function isReachable(folder: string): Promise<boolean> {
  const { uid, gid } = serverUser()
  for (let at = folder; at !== dirname(at); at = dirname(at)) {
    const { mode, uid: owner, gid: group } = await stat(at)
    const search = owner === uid ? 0o100 : group === gid ? 0o010 : 0o001
    if ((mode & search) === 0) return false
  }
  return true
}

async function copyOnce(native: string, major: Major): Promise<string> {
  const version = /"version": "(.+)"/.exec(readFileSync(join(native, '..', 'package.json'), 'utf8'))?.[1]
  if (version === undefined) throw new Error(`the package of "${native}" has no version`)
  const home = join(tmpdir(), `holdfast-servers-${process.getuid?.() ?? 0}`)
  await mkdir(home, { recursive: true, mode: 0o755 })
  if ((await stat(home)).uid !== process.getuid?.()) throw new Error(`"${home}" belongs to somebody else`)
  await chmod(home, 0o755)
  const copy = join(home, `${major}-${version}`)
  if (existsSync(copy)) return copy

  const unfinished = await mkdtemp(`${copy}-`)
  await chmod(unfinished, 0o755)
  await cp(native, unfinished, { recursive: true, verbatimSymlinks: true })
  try {
    await rename(unfinished, copy)
  } catch (error) {
    // Another test process was quicker; its copy is as good.
    await rm(unfinished, { recursive: true })
    if (!existsSync(copy)) throw error
  }
  return copy
}
