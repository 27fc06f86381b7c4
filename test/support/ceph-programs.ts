import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'

/** Where the programs of Ceph and their libraries are, and what they need in their environment. */
export interface CephPrograms {
  /** Of the libraries that are loaded by name: object classes. */
  readonly libraryFolder: string
  readonly environment: Readonly<Record<string, string>>
}

const packages = ['radosgw', 'ceph-mon', 'ceph-osd']

/**
 * Ceph as the distribution has it, unpacked into the user's cache folder: nothing of the system changes, and no right
 * beyond the user's own is needed. The first call downloads some 70 MB; later ones find it there.
 */
export async function installCeph(): Promise<CephPrograms> {
  const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'holdfast-test')
  const root = join(cache, 'ceph')
  if (!existsSync(join(root, 'complete'))) await unpackInto(root, cache)
  const libraryFolder = join(root, 'usr/lib/x86_64-linux-gnu')
  const libraries = [libraryFolder, join(root, 'lib/x86_64-linux-gnu'), join(libraryFolder, 'ceph')]
  const path = [join(root, 'usr/bin'), '/usr/local/bin', '/usr/bin', '/bin']
  return { libraryFolder, environment: { PATH: path.join(':'), LD_LIBRARY_PATH: libraries.join(':') } }
}

/** Under a name of its own first: another test may be doing the same. */
async function unpackInto(root: string, cache: string): Promise<void> {
  await mkdir(cache, { recursive: true })
  const unfinished = await mkdtemp(join(cache, 'unfinished-'))
  try {
    const archives = await download(join(unfinished, 'apt'))
    const tree = join(unfinished, 'root')
    await mkdir(tree)
    for (const archive of archives) run('dpkg-deb', ['-x', archive, tree])
    await writeFile(join(tree, 'complete'), '')
    if (!existsSync(root)) await rename(tree, root)
  } finally {
    await rm(unfinished, { recursive: true, force: true })
  }
}

/** The packages, and those that they need and this machine does not have. */
async function download(folder: string): Promise<string[]> {
  const archives = join(folder, 'archives')
  await mkdir(join(archives, 'partial'), { recursive: true })
  await mkdir(join(folder, 'lists', 'partial'), { recursive: true })
  const options = [
    `Dir::Cache=${folder}`,
    `Dir::State::Lists=${join(folder, 'lists')}`,
    'Debug::NoLocking=1',
    `APT::Sandbox::User=${process.env['USER'] ?? 'root'}`,
  ].flatMap((option) => ['-o', option])
  run('apt-get', [...options, '--quiet', 'update'])
  run('apt-get', [
    ...options,
    '--quiet',
    '--yes',
    '--no-install-recommends',
    '--download-only',
    'install',
    ...packages,
  ])
  return (await readdir(archives)).filter((name) => name.endsWith('.deb')).map((name) => join(archives, name))
}

function run(program: string, args: readonly string[]): void {
  const { status, stderr, error } = spawnSync(program, args, {
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C.UTF-8', DEBIAN_FRONTEND: 'noninteractive' },
  })
  assert.ok(
    status === 0,
    `"${program} ${args.join(' ')}" failed: ${error?.message ?? stderr}
The tests of the S3 store need a system with apt-get, and its package sources.`,
  )
}
