import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'

/** Where unpacked programs and their libraries are, and what they need in their environment. */
export interface UnpackedPrograms {
  /** What would be `/` if they were installed. */
  readonly root: string
  /** Of the libraries that are loaded by name. */
  readonly libraryFolder: string
  readonly environment: Readonly<Record<string, string>>
}

/**
 * Packages of the distribution, unpacked into the user's cache folder: nothing of the system changes, and no right beyond
 * the user's own is needed. The first call downloads them; later ones find them there under `name`. `suite` takes them from
 * another release of Debian: their programs need the loader and the libraries that come with them.
 */
export async function unpackPackages(
  name: string,
  packages: readonly string[],
  suite?: string,
): Promise<UnpackedPrograms> {
  const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'holdfast-test')
  const root = join(cache, name)
  if (!existsSync(join(root, 'complete'))) await unpackInto({ root, cache, suite }, packages)
  const libraryFolder = join(root, 'usr/lib/x86_64-linux-gnu')
  const libraries = [libraryFolder, join(root, 'lib/x86_64-linux-gnu'), join(libraryFolder, 'ceph')]
  const path = [join(root, 'usr/bin'), join(root, 'usr/sbin'), '/usr/local/bin', '/usr/bin', '/bin']
  return { root, libraryFolder, environment: { PATH: path.join(':'), LD_LIBRARY_PATH: libraries.join(':') } }
}

/** Under a name of its own first: another test may be doing the same. */
async function unpackInto(
  { root, cache, suite }: { root: string; cache: string; suite: string | undefined },
  packages: readonly string[],
): Promise<void> {
  await mkdir(cache, { recursive: true })
  const unfinished = await mkdtemp(join(cache, 'unfinished-'))
  try {
    const archives = await download({ folder: join(unfinished, 'apt'), suite }, packages)
    const tree = join(unfinished, 'root')
    await mkdir(tree)
    for (const archive of archives) run('dpkg-deb', ['-x', archive, tree])
    await writeFile(join(tree, 'complete'), '')
    if (!existsSync(root)) await rename(tree, root)
  } finally {
    await rm(unfinished, { recursive: true, force: true })
  }
}

/** The packages, also when this machine has them, and those that they need and it does not have. */
async function download(
  { folder, suite }: { folder: string; suite: string | undefined },
  packages: readonly string[],
): Promise<string[]> {
  const archives = join(folder, 'archives')
  await mkdir(join(archives, 'partial'), { recursive: true })
  await mkdir(join(folder, 'lists', 'partial'), { recursive: true })
  const options = [
    `Dir::Cache=${folder}`,
    `Dir::State::Lists=${join(folder, 'lists')}`,
    'Debug::NoLocking=1',
    `APT::Sandbox::User=${process.env['USER'] ?? 'root'}`,
    ...(suite === undefined ? [] : await sourcesOf(suite, folder)),
  ].flatMap((option) => ['-o', option])
  run('apt-get', [...options, '--quiet', 'update'])
  run('apt-get', [
    ...options,
    '--quiet',
    '--yes',
    '--no-install-recommends',
    '--download-only',
    '--reinstall',
    'install',
    ...packages,
  ])
  return (await readdir(archives)).filter((name) => name.endsWith('.deb')).map((name) => join(archives, name))
}

/** Options for nothing but this release, from where the system has its own. */
async function sourcesOf(suite: string, folder: string): Promise<readonly string[]> {
  const file = join(folder, 'suite.sources')
  const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg'
  const lines = [
    'Types: deb',
    'URIs: http://deb.debian.org/debian',
    `Suites: ${suite}`,
    'Components: main',
    `Signed-By: ${keyring}`,
  ]
  await writeFile(file, `${lines.join('\n')}\n`)
  return [`Dir::Etc::sourcelist=${file}`, 'Dir::Etc::sourceparts=/dev/null']
}

function run(program: string, args: readonly string[]): void {
  const { status, stderr, error } = spawnSync(program, args, {
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C.UTF-8', DEBIAN_FRONTEND: 'noninteractive' },
  })
  assert.ok(
    status === 0,
    `"${program} ${args.join(' ')}" failed: ${error?.message ?? stderr}
The tests of the stores need a system with apt-get, and its package sources.`,
  )
}
