import { createHash } from 'node:crypto'
import { constants, readdirSync, statSync } from 'node:fs'
import { mkdir, open, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { tidyCompiledCode } from '../platform/tidy-compiled-code.ts'
import { freshName } from '../platform/random.ts'
import type { Configuration } from './configuration-schema.ts'
import { readConfigurationFile, type ConfigurationRequest } from './read-configuration-file.ts'
import { isSection } from './setting-tree.ts'

/** Configurations of other clusters, users' experiments and older versions; the rest is forgotten. */
const mostRemembered = 16
const mostBytes = 1024 * 1024

/**
 * What `loadConfiguration` makes of the same file and environment, read again from `folder`, where it was written when it
 * was loaded and found valid: loading what reads YAML and checks settings takes 100 ms of CPU (November 2026), and
 * PostgreSQL starts us for every segment. What is remembered is found by a digest of everything that it was made from: the
 * file's path, mode and text, the variables, and the code and its version. So it is never out of date, and it is used only
 * when it is exactly what was written. The folder must be one that only this user can write, as the one with our compiled
 * code; undefined: nothing is remembered. Problems with the folder make it slower, nothing else.
 */
export async function rememberedConfiguration(
  request: ConfigurationRequest,
  folder: string | undefined,
): Promise<Configuration> {
  const path = folder === undefined ? undefined : await placeOf(request, folder)
  const remembered = path === undefined ? undefined : await recall(path)
  if (remembered !== undefined) return remembered
  const { loadConfiguration } = await import('./load-configuration.ts')
  const { configuration } = await loadConfiguration(request)
  // Read again: what was loaded may be of another version of the file than the one that was looked at first.
  if (path !== undefined && folder !== undefined && (await placeOf(request, folder)) === path) {
    await remember(configuration, path, folder)
  }
  return configuration
}

const prefix = 'configuration-'

/** Undefined when there is no file: then the environment alone says everything, which is rare. */
async function placeOf(request: ConfigurationRequest, folder: string): Promise<string | undefined> {
  const file = await readConfigurationFile(request)
  if (file === undefined) return undefined
  const variables = Object.entries(request.environment)
    .filter(([name]) => name.startsWith('HOLDFAST_'))
    .toSorted(([one], [other]) => (one < other ? -1 : 1))
  const madeFrom = [process.version, codeVersion(), file.file, file.mode, file.text, variables]
  const digest = createHash('sha256').update(JSON.stringify(madeFrom)).digest('hex')
  return join(folder, `${prefix}${digest}`)
}

/** Changes with every change of a file that says what a configuration means, also where the tool is being developed. */
function codeVersion(): readonly string[] {
  const root = join(import.meta.dirname, '..', '..')
  const folders = ['src/config', 'src/domain']
  const files = folders.flatMap((folder) => readdirSync(join(root, folder)).map((name) => join(folder, name)))
  return [...files, 'package.json', 'node_modules/.package-lock.json'].map((file) => {
    const status = statSync(join(root, file), { throwIfNoEntry: false })
    return status === undefined ? file : `${file} ${status.size} ${status.mtimeMs} ${status.ino}`
  })
}

/** A first line with the digest of the second one, which is the configuration: a crash may leave a file cut or empty. */
async function recall(path: string): Promise<Configuration | undefined> {
  try {
    const text = await readSmallFile(path)
    const end = text.indexOf('\n')
    const body = text.slice(end + 1)
    if (end === -1 || text.slice(0, end) !== digestOf(body)) return undefined
    const value: unknown = JSON.parse(body)
    return isConfiguration(value) ? value : undefined
  } catch {
    // Not there, or not to be used: it is loaded in the ordinary way, which tells what is wrong.
    return undefined
  }
}

async function readSmallFile(path: string): Promise<string> {
  await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  const { size, uid, mode } = await file.stat()
  // The digest in it is one that everybody can make: only what nobody else can have written is believed.
  const isOurs = uid === process.geteuid?.() && (mode & 0o022) === 0
  return size > mostBytes || !isOurs ? '' : await file.readFile('utf8')
}

/** It is what we wrote, as its digest says; this is for the type system. */
function isConfiguration(value: unknown): value is Configuration {
  return isSection(value) && isSection(value['clusters']) && isSection(value['repos'])
}

async function remember(configuration: Configuration, path: string, folder: string): Promise<void> {
  const body = JSON.stringify(configuration)
  // A setting that does not survive this way is not remembered wrongly: nothing is.
  if (!isDeepStrictEqual(JSON.parse(body), configuration)) return
  const unfinished = join(folder, `.${freshName()}`)
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    await forgetOthers(folder)
    await tidyCompiledCode(folder)
    await writeFile(unfinished, `${digestOf(body)}\n${body}`, { mode: 0o600, flag: 'wx' })
    await rename(unfinished, path)
  } catch {
    // A full or read-only disk: the next run loads it in the ordinary way again.
    await rm(unfinished, { force: true }).catch(() => undefined)
  }
}

async function forgetOthers(folder: string): Promise<void> {
  const names = (await readdir(folder)).filter((name) => name.startsWith(prefix))
  if (names.length < mostRemembered) return
  for (const name of names) await rm(join(folder, name), { force: true })
}

const digestOf = (text: string): string => createHash('sha256').update(text).digest('hex')
