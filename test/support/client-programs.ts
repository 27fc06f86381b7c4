import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { unpackPackages } from './distribution-programs.ts'

/** The major of the distribution's client programs. */
export const clientMajor = 15

const names = ['pg_dump', 'pg_dumpall', 'pg_restore', 'psql']

/** A folder with `pg_dump` and its kin, which need nothing of this machine but its loader. */
export async function installClientPrograms(parent: string): Promise<string> {
  const { root, environment } = await unpackPackages(`postgresql-client-${clientMajor}`, [
    `postgresql-client-${clientMajor}`,
  ])
  const folder = join(parent, 'client-programs')
  await mkdir(folder, { mode: 0o755 })
  for (const name of names) {
    const program = join(root, `usr/lib/postgresql/${clientMajor}/bin`, name)
    const script = `#!/bin/sh\nLD_LIBRARY_PATH='${environment['LD_LIBRARY_PATH'] ?? ''}' exec '${program}' "$@"\n`
    await writeFile(join(folder, name), script)
    await chmod(join(folder, name), 0o755)
  }
  return folder
}
