import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, openSync } from 'node:fs'
import { copyFile, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { ContainerClient, StorageSharedKeyCredential } from '@azure/storage-blob'
import type { AzureStoreOptions } from '../../src/storage/azure/azure-options.ts'
import { freePort } from './free-port.ts'
import type { Scratch } from './scratch.ts'
import { waitUntil } from './wait.ts'

/** Azurite, Microsoft's emulator of Azure Storage, with an empty container, in memory. It ends with the scratch folder. */
export interface AzureServer {
  readonly endpoint: string
  readonly account: string
  readonly accountKey: string
  readonly container: string
  /** For a store in this container. */
  readonly options: AzureStoreOptions
}

const account = 'holdfasttest'
const container = 'holdfast'

/** Starts Azurite with an account of its own: about two seconds, once it is installed. */
export async function startAzureServer(scratch: Pick<Scratch, 'folder'>): Promise<AzureServer> {
  const program = await installAzurite()
  const folder = join(scratch.folder, 'azurite')
  await mkdir(folder, { recursive: true })
  const port = await freePort()
  const endpoint = `http://127.0.0.1:${port}`
  const accountKey = randomBytes(64).toString('base64')
  startAzurite(program, { folder, port, accounts: `${account}:${accountKey}` })
  await waitUntil('Azurite answers', async () => (await fetch(endpoint)).status === 400)
  const credential = new StorageSharedKeyCredential(account, accountKey)
  await new ContainerClient(`${endpoint}/${account}/${container}`, credential).create()
  const options: AzureStoreOptions = {
    account,
    endpoint,
    login: { kind: 'key', read: () => Promise.resolve(accountKey) },
    maxRequests: 16,
    idleTimeoutMs: 30_000,
    callTimeoutMs: 60_000,
  }
  return { endpoint, account, accountKey, container, options }
}

interface AzuritePlaces {
  readonly folder: string
  readonly port: number
  readonly accounts: string
}

/** It works in its folder, so it ends with it. */
function startAzurite(program: string, { folder, port, accounts }: AzuritePlaces): void {
  const log = openSync(join(folder, 'azurite.out'), 'a')
  const options = ['--blobHost', '127.0.0.1', '--blobPort', String(port)]
  const started = spawn(
    process.execPath,
    [program, ...options, '--silent', '--inMemoryPersistence', '--skipApiVersionCheck', '--disableTelemetry'],
    {
      cwd: folder,
      env: { ...process.env, AZURITE_ACCOUNTS: accounts },
      stdio: ['ignore', log, log],
      detached: true,
    },
  )
  started.unref()
}

/**
 * Its packages are many and old, so they are no part of ours: the first call installs what its own lockfile names into the user's
 * cache folder, without running their scripts; later ones find them there.
 */
async function installAzurite(): Promise<string> {
  const own = join(import.meta.dirname, 'azurite')
  const lock = await readFile(join(own, 'package-lock.json'))
  const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'holdfast-test')
  const root = join(cache, `azurite-${createHash('sha256').update(lock).digest('hex').slice(0, 12)}`)
  if (!existsSync(root)) await installInto(root, own, cache)
  return join(root, 'node_modules/azurite/dist/src/blob/main.js')
}

/** Under a name of its own first: another test may be doing the same. */
async function installInto(root: string, own: string, cache: string): Promise<void> {
  await mkdir(cache, { recursive: true })
  const unfinished = await mkdtemp(join(cache, 'unfinished-'))
  try {
    for (const name of ['package.json', 'package-lock.json']) {
      await copyFile(join(own, name), join(unfinished, name))
    }
    const { status, stderr, error } = spawnSync(
      'npm',
      ['ci', '--ignore-scripts', '--no-audit', '--no-fund'],
      {
        cwd: unfinished,
        encoding: 'utf8',
      },
    )
    assert.ok(
      status === 0,
      `"npm ci" of Azurite failed: ${error?.message ?? stderr}
The tests of the stores need the packages of test/support/azurite.`,
    )
    if (!existsSync(root)) await rename(unfinished, root)
  } finally {
    await rm(unfinished, { recursive: true, force: true })
  }
}
