import assert from 'node:assert/strict'
import { copyFile, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { giveTree } from './give-tree.ts'
import { expectOk } from './holdfast.ts'
import type { Scratch } from './scratch.ts'
import type { UserSite } from './user-site.ts'

/** Adds a repository "second" to the configuration, with a key of its own, and makes it. */
export async function addSecondRepository(
  site: Pick<UserSite, 'folder' | 'configuration' | 'server' | 'run'>,
  scratch: Scratch,
): Promise<void> {
  const { folder, configuration, server } = site
  const key = join(folder, 'second.key')
  await copyFile(join(folder, 'local.key'), key)
  const text = await readFile(configuration, 'utf8')
  const entry = `repos:\n  second:\n    location: posix:${folder}/second\n    key-file: ${key}\n`
  // Behind the first one, which is what the order of preference is.
  const first = /^repos:\n(?<entries>(?: .*\n)+)/m.exec(text)?.groups?.['entries'] ?? assert.fail(text)
  await writeFile(
    configuration,
    text.replace(`repos:\n${first}`, entry.replace('repos:\n', `repos:\n${first}`)),
  )
  await giveTree(folder, scratch.user)
  expectOk(
    await site.run(
      'init',
      '--cluster=main',
      `--connection=${server.connectionString}`,
      `--repo=posix:${folder}/second`,
      `--bin-directory=${server.binDirectory}`,
    ),
  )
}
