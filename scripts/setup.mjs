// Runs before the demo, the tests and the gate, on whatever Node the machine has: installs what the lockfile names when
// the installed tree is not the one of this lockfile, and links the libraries of the embedded PostgreSQL servers.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const stamp = join(root, 'node_modules', '.holdfast-setup')

installPackages()
for (const major of [14, 15, 16, 17, 18]) linkServerLibraries(major)

function installPackages() {
  const wanted = createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return
  console.error('setup: installing packages (npm ci)')
  const { status } = spawnSync('npm', ['ci', '--no-audit', '--no-fund'], {
    cwd: root,
    stdio: ['ignore', 2, 2],
  })
  if (status !== 0) {
    console.error('setup: "npm ci" failed; see its output above')
    process.exit(1)
  }
  writeFileSync(stamp, wanted)
}

/** The packages list their symbolic links instead of holding them: npm cannot pack links. */
function linkServerLibraries(major) {
  const folder = join(root, 'node_modules', `pg${major}`)
  const list = join(folder, 'native', 'pg-symlinks.json')
  if (!existsSync(list)) {
    console.error(`setup: the embedded PostgreSQL ${major} is not installed (expected ${list})`)
    process.exit(1)
  }
  for (const { source, target } of JSON.parse(readFileSync(list, 'utf8'))) {
    try {
      symlinkSync(basename(source), join(folder, target))
    } catch (error) {
      if (error.code !== 'EEXIST') throw error
    }
  }
}
