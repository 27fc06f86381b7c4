import { chmod, copyFile, mkdir, readdir, writeFile } from 'node:fs/promises'
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
  const [libraryFolder, binaryFolder] = [join(folder, 'lib'), join(folder, 'bin')]
  await copyNamed(join(root, libraries), libraryFolder, (name) => /\.so(?:\.\d+)*$/.test(name))
  await copyNamed(join(root, binaries), binaryFolder, (name) => names.includes(name))
  for (const name of names) {
    const program = join(binaryFolder, name)
    const start =
      suites[major] === undefined
        ? `LD_LIBRARY_PATH='${libraryFolder}' exec '${program}'`
        : `exec '${libraryFolder}/ld-linux-x86-64.so.2' --argv0 "$0" --library-path '${libraryFolder}' '${program}'`
    await writeFile(join(folder, name), `#!/bin/sh\n${start} "$@"\n`)
    await chmod(join(folder, name), 0o755)
  }
  return folder
}

async function copyNamed(from: string, to: string, isWanted: (name: string) => boolean): Promise<void> {
  await mkdir(to, { mode: 0o755 })
  for (const name of (await readdir(from)).filter(isWanted)) await copyFile(join(from, name), join(to, name))
}
