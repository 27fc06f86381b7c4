import { chmod, cp, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { unpackPackages } from './distribution-programs.ts'

/** The major of the distribution's client programs. */
export const clientMajor = 15

const names = ['pg_dump', 'pg_dumpall', 'pg_restore', 'psql']

/** That of a later release, which dumps servers of every major. */
export const newestClientMajor = 18
const suites = { [clientMajor]: undefined, [newestClientMajor]: 'forky' } as const

/**
 * A folder with `pg_dump` and its kin, for every user; those of the distribution's own release need nothing of this machine
 * but its loader.
 */
export async function installClientPrograms(
  parent: string,
  major: keyof typeof suites = clientMajor,
): Promise<string> {
  const packageName = `postgresql-client-${major}`
  const { root } = await unpackPackages(packageName, [packageName], suites[major])
  const folder = join(parent, 'client-programs')
  await mkdir(folder, { mode: 0o755 })
  // Where packages are unpacked to is nobody else's business.
  const [libraries, binaries] = ['usr/lib/x86_64-linux-gnu', `usr/lib/postgresql/${major}/bin`] as const
  for (const part of [libraries, binaries])
    await cp(join(root, part), join(folder, 'root', part), { recursive: true, verbatimSymlinks: true })
  const libraryFolder = join(folder, 'root', libraries)
  for (const name of names) {
    const program = join(folder, 'root', binaries, name)
    const start =
      suites[major] === undefined
        ? `LD_LIBRARY_PATH='${libraryFolder}' exec '${program}'`
        : `exec '${libraryFolder}/ld-linux-x86-64.so.2' --argv0 "$0" --library-path '${libraryFolder}' '${program}'`
    await writeFile(join(folder, name), `#!/bin/sh\n${start} "$@"\n`)
    await chmod(join(folder, name), 0o755)
  }
  return folder
}
